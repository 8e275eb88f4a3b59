"""The component in which a degradation arises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.root_cause import PETSHOP, by_blame, generated, petshop, recalls
from selfbuild.analysis.root_cause import ComponentGrid, Symptom, grid_of, rank_causes, worst_segment
from selfbuild.domain.telemetry import CallEdge, Measure, Samples, Series

HEALTHY, WINDOW = 60, 10
EDGES = tuple(
    CallEdge(caller=a, callee=b)
    for a, b in (("web", "orders"), ("web", "users"), ("orders", "database"), ("users", "database"), ("orders", "mail"))
)
USUAL_MS = {"web": 100.0, "orders": 40.0, "users": 20.0, "database": 5.0, "mail": 8.0}
REQUESTS = {"web": 1000.0, "orders": 500.0, "users": 400.0, "database": 2400.0, "mail": 50.0}


def a_grid(
    *,
    latency: dict[str, float] | None = None,
    errors: dict[str, float] | None = None,
    begins: int = 4,
    history: bool = True,
    noise: float = 0.03,
    seed: int = 1,
) -> ComponentGrid:
    """Five components; `latency` (ms) and `errors` (share) are added from `begins` of the window on."""
    rng = np.random.default_rng(seed)
    names = tuple(sorted(USUAL_MS))
    periods = HEALTHY + WINDOW
    bad = np.arange(periods) >= HEALTHY + begins
    levels, ratios = [], []
    for name in names:
        level = USUAL_MS[name] * np.exp(rng.normal(0, noise, periods))
        levels.append(level + (latency or {}).get(name, 0.0) * bad)
        ratios.append((errors or {}).get(name, 0.0) * bad + 0.0005)
    past = np.arange(periods) < HEALTHY
    grid = ComponentGrid(
        components=names,
        latency_ms=np.array(levels),
        requests=np.array([np.full(periods, REQUESTS[n]) for n in names]),
        error_ratio=np.array(ratios),
        healthy=past,
        window=~past,
    )
    return grid if history else grid._replace(healthy=np.zeros(periods, dtype=bool))


def first(grid: ComponentGrid, symptom: Symptom = Symptom.LATENCY, edges: tuple[CallEdge, ...] = EDGES) -> str:
    return rank_causes(grid, edges, target="web", symptom=symptom)[0].component


# One more millisecond at the database, 2.4 calls a request of web, 2 of orders, 3.5 of users by what they wait for.
DATABASE_SLOW = {"database": 20.0, "orders": 64.0, "users": 40.0, "web": 48.0}
ORDERS_SLOW = {"orders": 100.0, "web": 50.0}


@pytest.mark.parametrize("begins", [pytest.param(0, id="whole-window"), pytest.param(4, id="from-its-middle")])
@pytest.mark.parametrize(
    ("added", "cause"),
    [
        pytest.param(DATABASE_SLOW, "database", id="leaf"),
        pytest.param(ORDERS_SLOW, "orders", id="middle"),
        pytest.param({"web": 50.0}, "web", id="target"),
        pytest.param(
            ORDERS_SLOW | {"mail": 200.0, "web": 51.0, "orders": 105.0}, "orders", id="rare-callee-changed-more"
        ),
    ],
)
def test_cause_of_latency(added: dict[str, float], cause: str, begins: int) -> None:
    assert first(a_grid(latency=added, begins=begins)) == cause


def test_cause_without_history() -> None:
    assert first(a_grid(latency=DATABASE_SLOW, history=False)) == "database"


def test_cause_with_a_history_of_other_levels() -> None:
    grid = a_grid(latency=ORDERS_SLOW)
    latency = grid.latency_ms.copy()
    latency[:, grid.healthy] *= np.array([[0.4], [2.0], [0.7], [1.5], [0.8]])

    assert first(grid._replace(latency_ms=latency)) == "orders"


def test_cause_of_errors_is_weighted_by_requests() -> None:
    # 25 errors of orders make the 25 of web; mail fails more often, but 5 times only.
    grid = a_grid(errors={"web": 0.025, "orders": 0.05, "mail": 0.1})

    assert first(grid, Symptom.ERRORS) == "orders"


def test_errors_of_a_leaf_reach_it_through_its_callers() -> None:
    grid = a_grid(errors={"web": 0.1, "orders": 0.15, "users": 0.06, "database": 0.042})

    assert first(grid, Symptom.ERRORS) == "database"


def test_callee_that_was_never_called_before_is_not_the_cause() -> None:
    grid = a_grid(errors={"web": 0.025, "orders": 0.05, "mail": 1.0})
    requests = grid.requests.copy()
    row = grid.row("mail")
    requests[row, : HEALTHY + 4] = 0
    ratio = grid.error_ratio.copy()
    ratio[row, : HEALTHY + 4] = np.nan

    assert first(grid._replace(requests=requests, error_ratio=ratio), Symptom.ERRORS) == "orders"


def test_pass_through_twin_does_not_take_the_blame() -> None:
    edges = (CallEdge(caller="web", callee="mail"), CallEdge(caller="mail", callee="orders"))
    grid = a_grid(latency={"web": 50.0, "mail": 1000.0, "orders": 100.0})

    assert first(grid, edges=edges) == "orders"


def test_path_runs_through_a_component_without_telemetry() -> None:
    edges = (CallEdge(caller="web", callee="gateway"), CallEdge(caller="gateway", callee="orders"))

    causes = rank_causes(a_grid(latency=ORDERS_SLOW), edges, target="web", symptom=Symptom.LATENCY)

    assert causes[0].path == ("web", "orders")


def test_circle_of_calls_ends() -> None:
    edges = (*EDGES, CallEdge(caller="database", callee="web"))

    causes = rank_causes(a_grid(latency=ORDERS_SLOW), edges, target="web", symptom=Symptom.LATENCY)

    assert causes[0].component == "orders"
    assert sum(c.score for c in causes) == pytest.approx(1.0)


def test_reason_states_the_numbers() -> None:
    cause = rank_causes(a_grid(latency=ORDERS_SLOW, noise=0.001), EDGES, target="web", symptom=Symptom.LATENCY)[0]

    assert cause.added == pytest.approx(50.0, rel=0.02)
    assert cause.level_before == pytest.approx(40.0, rel=0.02)
    assert cause.level_during == pytest.approx(140.0, rel=0.02)
    assert "ms to each request of web" in cause.reason


@pytest.mark.parametrize(
    "grid",
    [
        pytest.param(a_grid(noise=0.0), id="nothing-changed"),
        pytest.param(a_grid(latency={"web": -50.0}, begins=0, noise=0.0), id="faster"),
        pytest.param(a_grid()._replace(window=np.zeros(HEALTHY + WINDOW, dtype=bool)), id="empty-window"),
        pytest.param(a_grid()._replace(latency_ms=np.full((5, HEALTHY + WINDOW), np.nan)), id="no-samples"),
    ],
)
def test_no_rise_has_no_cause(grid: ComponentGrid) -> None:
    assert rank_causes(grid, EDGES, target="web", symptom=Symptom.LATENCY) == ()


def test_unknown_target_has_no_cause() -> None:
    assert rank_causes(a_grid(latency=ORDERS_SLOW), EDGES, target="absent", symptom=Symptom.LATENCY) == ()


def test_missing_samples_are_not_zero() -> None:
    grid = a_grid(latency=DATABASE_SLOW)
    latency = grid.latency_ms.copy()
    latency[grid.row("database"), ::2] = np.nan

    causes = rank_causes(grid._replace(latency_ms=latency), EDGES, target="web", symptom=Symptom.LATENCY)

    assert causes[0].component == "database"
    assert causes[0].added == pytest.approx(48.0, rel=0.1)


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_ranking_does_not_depend_on_units_names_or_order(factor: float, seed: int) -> None:
    grid = a_grid(latency=DATABASE_SLOW, seed=seed)
    order = np.random.default_rng(seed).permutation(5)
    renamed = {name: f"x{n}" for n, name in zip(order, grid.components, strict=True)}
    other = grid._replace(
        components=tuple(renamed[grid.components[n]] for n in order),
        latency_ms=grid.latency_ms[order] * factor,
        requests=grid.requests[order],
        error_ratio=grid.error_ratio[order],
    )
    edges = tuple(CallEdge(caller=renamed[e.caller], callee=renamed[e.callee]) for e in reversed(EDGES))

    here = rank_causes(grid, EDGES, target="web", symptom=Symptom.LATENCY)
    there = rank_causes(other, edges, target=renamed["web"], symptom=Symptom.LATENCY)

    assert {renamed[c.component]: pytest.approx(c.score, abs=1e-6) for c in here} == {
        c.component: c.score for c in there
    }


def test_worst_segment_is_the_run_that_stands_out() -> None:
    levels = np.array([10.0, 11, 10, 30, 29, 31, 12, 10])

    assert worst_segment(levels, np.ones(8)) == slice(3, 6)
    assert worst_segment(np.full(5, 2.0), np.ones(5)) == slice(0, 5)
    assert worst_segment(np.array([3.0]), np.ones(1)) == slice(0, 1)


def test_grid_is_laid_from_series() -> None:
    def series(component: str, measure: Measure, start: float, values: list[float]) -> Series:
        return Series(
            component=component, measure=measure, unit="Count", start=start, period_s=60, values=Samples(values)
        )

    grid = grid_of(
        [
            series("web", Measure.REQUESTS, 0, [10, 0, 20]),
            series("web", Measure.ERRORS, 0, [1, 0, 5]),
            series("web", Measure.LATENCY_P95, 60, [7, 8]),
            series("users", Measure.LATENCY_P50, 120, [3]),
        ],
        window_start=60,
        window_end=180,
    )

    assert grid.components == ("users", "web")
    np.testing.assert_array_equal(grid.error_ratio[1], [0.1, np.nan, 0.25])
    np.testing.assert_array_equal(grid.latency_ms, [[np.nan, np.nan, 3], [np.nan, 7, 8]])
    np.testing.assert_array_equal(grid.healthy, [True, False, False])
    with pytest.raises(ValueError, match="one period length"):
        grid_of([], window_start=0, window_end=1)


def test_generated_incidents_are_mostly_named_first() -> None:
    at_first, at_three = recalls(list(generated(120, seed=5)), by_blame)

    assert at_first >= 0.88
    assert at_three >= 0.9


@pytest.mark.skipif(not PETSHOP.is_dir(), reason="the PetShop data is absent (SELFBUILD_SHARED_DATA)")
@pytest.mark.parametrize("kind", ["latency", "availability"])
def test_petshop_causes_are_named_first(kind: str) -> None:
    at_first, at_three = recalls([i for i in petshop() if i.kind == kind], by_blame)

    assert at_first >= 0.86
    assert at_three == 1.0
