"""The judge over recorded minutes: what it would have said at each of them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from selfbuild.backtest_judge import backtest_judge
from selfbuild.domain.errors import InvalidRequest

HEAD = "minute,arm,requests,errors,slow,p50_ms,p95_ms"


def a_file(
    *,
    minutes: int = 60,
    requests: int = 100,
    canary_errors: float = 0.005,
    canary_slow: float = 0.05,
    share: float = 0.5,
    seed: int = 1,
) -> list[str]:
    """Lines of a trial whose baseline has 0.5 % errors and 5 % slow requests."""
    rng = np.random.default_rng(seed)
    lines = [HEAD]
    for minute in range(1, minutes + 1):
        for arm, part, errors, slow in (
            ("canary", share, canary_errors, canary_slow),
            ("baseline", 1 - share, 0.005, 0.05),
        ):
            served = round(2 * requests * part)
            bad, late = rng.binomial(served, errors), rng.binomial(served, slow)
            lines.append(f"{minute},{arm},{served},{bad},{late},20.5,41.5")
    return lines


def judged(lines: Iterable[str], **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    remarks: list[str] = []
    return list(backtest_judge(lines, remark=remarks.append, **options)), remarks


def test_equal_arms_pass_at_the_end_and_not_before() -> None:
    rows, remarks = judged(a_file(requests=300), share=0.5)

    assert [row["minute"] for row in rows] == list(range(1, 61))
    assert [row["verdict"] for row in rows] == ["INCONCLUSIVE"] * 59 + ["PASS"]
    assert rows[-1]["reason"].startswith("the canary is healthy")
    assert remarks == []


@pytest.mark.parametrize("change", [{"canary_errors": 0.05}, {"canary_slow": 0.2}], ids=["errors", "slow"])
def test_worse_canary_fails_early_and_stays_failed(change: dict[str, float]) -> None:
    rows, _ = judged(a_file(**change))  # type: ignore[arg-type]

    first = next(row for row in rows if row["verdict"] == "FAIL")
    after = [row for row in rows if row["minute"] > first["minute"]]
    assert first["minute"] < 20
    assert len(after) == 60 - first["minute"]
    assert {row["verdict"] for row in after} == {"FAIL"}
    assert rows[-1]["reason"] == f"rolled back at minute {first['minute']}: {first['reason']}"
    assert rows[-1]["numbers"] == first["numbers"]


def test_verdict_of_a_minute_depends_on_no_later_row() -> None:
    lines = a_file(canary_errors=0.012, minutes=40)

    whole, _ = judged(lines)
    part, _ = judged(lines[: 1 + 2 * 20])

    assert whole[:19] == part[:19]


def test_order_of_the_rows_does_not_matter() -> None:
    head, *rows = a_file(canary_slow=0.1, minutes=30)

    assert judged([head, *sorted(rows, key=lambda row: row.split(",")[1])]) == judged([head, *rows])


def test_silent_canary_is_inconclusive() -> None:
    lines = [HEAD, *(f"{minute},baseline,100,1,5,20,40" for minute in range(1, 31))]

    rows, _ = judged(lines)

    assert rows[-1]["verdict"] == "INCONCLUSIVE"
    assert "the canary reported 0 requests" in rows[-1]["reason"]


def test_arm_that_reported_nothing_is_not_zero() -> None:
    lines = [HEAD, "1,canary,,,,,", "1,baseline,50,0,2,,", "2,canary,50,0,2,,nan", "2,baseline,50,0,2,,"]

    rows, _ = judged(lines)

    assert rows[0]["numbers"]["canary_requests"] == 0
    assert "canary_p95_ms" not in rows[1]["numbers"]


def test_numbers_are_sums_since_the_deploy() -> None:
    lines = [
        HEAD,
        "1,canary,10,1,2,20,40",
        "1,baseline,30,0,3,20,41",
        "2,canary,10,0,1,20,42",
        "2,baseline,30,2,3,20,43",
    ]

    rows, _ = judged(lines)

    numbers = rows[1]["numbers"]
    assert (numbers["canary_requests"], numbers["baseline_requests"], numbers["canary_share"]) == (20, 60, 0.25)
    assert (numbers["canary_errors"], numbers["baseline_errors"], numbers["canary_slow"]) == (1, 2, 3)
    assert (numbers["canary_p95_ms"], numbers["baseline_p95_ms"]) == (42.0, 43.0)


def test_other_share_than_planned_is_remarked() -> None:
    _, remarks = judged(a_file(share=0.2), share=0.5)

    assert len(remarks) == 1
    assert "served 20.0% of the requests, planned were 50.0%" in remarks[0]


def test_history_is_not_used_beside_a_baseline_and_that_is_said() -> None:
    lines = a_file(minutes=10)

    with_history, remarks = judged([*lines, *(f"{minute},history,100,99,99,20,40" for minute in range(-30, 0))])

    assert with_history == judged(lines)[0]
    assert remarks == [
        "30 rows of arm 'history' are not used: the baseline that ran beside the canary is compared with it; "
        "before and after comes with a later release"
    ]


@pytest.mark.parametrize("rows", [[], ["-1,history,100,1,5,20,40"], ["1,baseline,,,,,"]], ids=["none", "old", "silent"])
def test_without_a_baseline_it_refuses(rows: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="before and after"):
        judged([HEAD, "1,canary,100,1,5,20,40", *rows])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param([], "line 1: column 'minute' is missing", id="empty"),
        pytest.param(["minute,arm,requests,errors", "1,canary,1,0"], "line 1: column 'slow'", id="column"),
        pytest.param([HEAD, "1,old,10,0,0,,"], "line 2: arm 'old' is unknown: choose from canary", id="arm"),
        pytest.param([HEAD, "1,canary,10,0,0,,", "", "x,canary,1,0,0,,"], "line 4: minute='x'", id="minute"),
        pytest.param([HEAD, "1,canary,10,11,0,,"], "line 2: errors=11 is more than requests=10", id="errors"),
        pytest.param([HEAD, "1,canary,10,0,-1,,"], "line 2: slow='-1'", id="negative"),
        pytest.param([HEAD, "1,canary,10,,0,,"], "line 2: errors=''.*leave requests, errors and slow empty", id="gap"),
        pytest.param([HEAD, "1,canary,inf,0,0,,"], "line 2: requests='inf'", id="infinite"),
        pytest.param([HEAD, "1,canary,1,0,0,fast,"], "line 2: p50_ms='fast'", id="latency"),
        pytest.param([HEAD, "1,canary"], "no row of arm 'baseline'", id="short"),
        pytest.param(
            [HEAD, "1,canary,1,0,0,,", "1,canary,1,0,0,,"],
            "line 3: minute 1 of arm 'canary' stands in line 2",
            id="twice",
        ),
    ],
)
def test_wrong_row_is_named_by_its_line(lines: list[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        judged(lines)


def test_components_are_judged_each_on_its_own() -> None:
    lines = ["minute,arm,component,requests,errors,slow"]
    for minute in range(1, 31):
        for component, errors in (("search", 0), ("export", 30)):
            lines.append(f"{minute},canary,{component},60,{errors},3")
            lines.append(f"{minute},baseline,{component},60,0,3")

    rows, _ = judged(lines)

    assert rows[-1]["verdict"] == "FAIL"
    assert "export" in rows[-1]["reason"]
    assert "search" not in rows[-1]["reason"]
