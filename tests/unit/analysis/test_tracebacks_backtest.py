"""Recorded tracebacks are replayed row by row; a bad row is refused by its number."""

import json

import pytest

from benchmarks.tracebacks import agreement
from selfbuild.analysis.backtest_tracebacks import backtest_tracebacks
from selfbuild.analysis.fingerprint import fingerprint_of
from selfbuild.domain.errors import InvalidRequest

STACK = 'Traceback (most recent call last):\n  File "/srv/app/a.py", line 3, in f\n    g[k]\nKeyError: 1\n'


def a_row(traceback: object) -> str:
    return json.dumps({"traceback": traceback, "bug": "x"})


def test_each_row_gives_its_fingerprint_exception_and_frame() -> None:
    rows = list(backtest_tracebacks([a_row(STACK), "\n", a_row("ValueError: no stack")]))

    assert rows[0] == (1, fingerprint_of("", "", STACK), "KeyError", "/srv/app/a.py:3 in f")
    assert (rows[1].line, rows[1].exception, rows[1].frame) == (3, None, None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("{", "line 2 is not JSON", id="no JSON"),
        pytest.param("[1]", "line 2 holds no JSON object", id="no object"),
        pytest.param("{}", 'line 2 has no text in "traceback"', id="missing"),
        pytest.param(a_row(7), 'line 2 has no text in "traceback"', id="no text"),
        pytest.param(a_row(" "), 'line 2 has no text in "traceback"', id="empty"),
        pytest.param("[" * 200_000, "line 2 is not JSON", id="nested without end"),
    ],
)
def test_a_bad_row_is_refused_by_its_number_with_the_remedy(line: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        list(backtest_tracebacks([a_row(STACK), line]))

    assert "each line must be a JSON object" in str(refused.value)


def test_agreement_of_groupings() -> None:
    """Worked out by hand from the pair counts."""
    assert agreement("aabb", "xxyy") == (1.0, 1.0, 1.0)
    assert agreement([0, 0, 1, 1], [0, 0, 1, 2]).adjusted_rand == pytest.approx(4 / 7)
    assert agreement([0, 0, 1, 1], [0, 1, 0, 1]).adjusted_rand == pytest.approx(-0.5)
    assert agreement("ab", "xy") == (1.0, 1.0, 1.0)
    assert agreement("aab", "xxx") == (0.0, 1 / 3, 1.0)
