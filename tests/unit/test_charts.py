"""Charts: the file that people look at."""

import sys
from pathlib import Path
from typing import Any

import pytest

from selfbuild.charts import save_chart
from selfbuild.domain.errors import InvalidRequest, Misconfigured
from selfbuild.domain.insights import Chart, Mark

START = 1_772_323_200.0


def a_chart(**changes: Any) -> Chart:
    defaults: dict[str, Any] = {
        "title": "summary: ResponseLatency",
        "unit": "Milliseconds",
        "starts": tuple(START + 300 * n for n in range(40)),
        "values": (*[40.0] * 28, None, 41.0, None, *[130.0] * 9),
        "baseline": 40.0,
        "threshold": 48.0,
        "window_start": START + 300 * 28,
        "window_end": START + 300 * 40,
        "marks": (Mark(at=START + 300 * 30, label="release 3fa9c1d2e4b5"),),
    }
    return Chart(**(defaults | changes))


def drawn(chart: Chart, file: Path) -> str:
    """The text of an SVG file; matplotlib keeps each text that it draws as a comment."""
    save_chart(chart, file)
    return file.read_text()


def test_drawing_tells_levels_window_and_marks(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    text = drawn(a_chart(), tmp_path / "chart.svg")

    for shown in (
        "summary: ResponseLatency",
        "Milliseconds",
        "window",
        "baseline 40",
        "threshold 48",
        "release 3fa9c1d2e4b5",
        "2026-03-01 00:00 to 2026-03-01 03:15 UTC",
    ):
        assert f"<!-- {shown} -->" in text


def test_png_has_the_size_of_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    save_chart(a_chart(), tmp_path / "chart.PNG")

    content = (tmp_path / "chart.PNG").read_bytes()
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (1300, 546)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"values": (None,) * 40}, id="no-sample"),
        pytest.param({"starts": (), "values": ()}, id="no-period"),
        pytest.param({"values": (5.0,) * 40, "baseline": None, "threshold": None, "marks": ()}, id="flat"),
        pytest.param({"values": (-5.0,) * 40, "baseline": -4.0}, id="negative"),
        pytest.param({"title": "x" * 400, "unit": ""}, id="long-title"),
        pytest.param({"title": "costs $\\frac$", "unit": "$\\frac$"}, id="title-like-mathematics"),
        pytest.param({"marks": tuple(Mark(at=START + 600 * n, label=f"m{n}") for n in range(20))}, id="many-marks"),
    ],
)
def test_unusual_charts_are_drawn(tmp_path: Path, changes: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")

    assert "</svg>" in drawn(a_chart(**changes), tmp_path / "chart.svg")


@pytest.mark.parametrize("name", ["chart.gif", "chart", "nowhere/chart.png"])
def test_place_that_cannot_be_drawn_to_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"must end in|there is no folder"):
        save_chart(a_chart(), tmp_path / name)


def test_without_matplotlib_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)

    with pytest.raises(Misconfigured, match=r"pip install 'self-building-agent\[plots\]'"):
        save_chart(a_chart(), tmp_path / "chart.png")
    assert list(tmp_path.iterdir()) == []
