"""What people type and see: durations and shapes in a terminal."""

from datetime import timedelta

import pytest
import typer

from selfbuild.cli.durations import parse_duration, show_seconds
from selfbuild.cli.sparklines import ASCII_BARS, sparkline, underline


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        (" 455d ", timedelta(days=455)),
    ],
)
def test_duration_is_a_number_with_its_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "24", "h", "1.5h", "-1h", "24 h", "1w", "1d12h", "٣h", "9999999999s"])
def test_what_is_no_duration_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="90s or 24h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "456d"])
def test_duration_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="outside 1s and 455d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration_s", "shown"), [(None, "-"), (0.4, "0s"), (59, "59s"), (90, "1.5m"), (7200, "2h"), (181440, "2.1d")]
)
def test_seconds_are_shown_in_the_unit_that_fits(duration_s: float | None, shown: str) -> None:
    assert show_seconds(duration_s) == shown


def test_bars_rise_with_the_values_from_zero() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], bars="01234567") == "01234567"
    assert sparkline([7, 7], bars="01234567") == "77"
    assert sparkline([0, 0], bars="01234567") == "00"
    assert sparkline([-7, 0], bars="01234567") == "07"


def test_missing_is_a_gap_and_zero_is_a_bar() -> None:
    assert sparkline([0, None, 7, None], bars="01234567") == "0 7 "
    assert sparkline([None, None], bars="01234567") == "  "
    assert sparkline([], bars="01234567") == ""


def test_long_series_is_joined_by_means_and_keeps_its_gaps() -> None:
    values = [1.0] * 100 + [None] * 100 + [7.0] * 100

    line = sparkline(values, width=30, bars="01234567")

    assert line == "1" * 10 + " " * 10 + "7" * 10


def test_terminal_without_blocks_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Plain())

    assert sparkline([0, 7]) == ASCII_BARS[0] + ASCII_BARS[-1]


def test_window_and_marks_stand_beneath_their_periods() -> None:
    starts = [float(n) for n in range(10)]

    assert underline(starts, window=(7, 10), marks=[5.0], width=10) == "-----|-^^^"
    assert underline(starts, window=(7, 10), marks=[-5.0, 50.0], width=5) == "---^^"
    assert underline([], window=(0, 1)) == ""
