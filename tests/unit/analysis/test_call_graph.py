"""Who calls whom, how blame moves, and incidents that several components share."""

import pytest

from selfbuild.analysis.call_graph import (
    CallGraph,
    Degraded,
    SharedIncident,
    find_shared_incidents,
    spread_blame,
    strongest_paths,
)
from selfbuild.domain.telemetry import CallEdge

PERIOD_S = 60


def edges(*pairs: str) -> tuple[CallEdge, ...]:
    """From `caller>callee`."""
    return tuple(CallEdge(caller=p.split(">")[0], callee=p.split(">")[1]) for p in pairs)


def degraded(**minutes: float) -> list[Degraded]:
    return [Degraded(component=name, started=60.0 * minute) for name, minute in minutes.items()]


def shared(
    worse: list[Degraded],
    calls: tuple[CallEdge, ...],
    *,
    components: str = "web orders stock users",
    owned: str = "web orders stock users",
    released_at: tuple[float, ...] = (),
) -> tuple[SharedIncident, ...]:
    return find_shared_incidents(
        worse,
        calls,
        components=components.split(),
        owned=owned.split(),
        period_s=PERIOD_S,
        released_at=released_at,
    )


def test_calls_in_a_circle_are_followed_once() -> None:
    graph = CallGraph(edges("a>b", "b>c", "c>a", "c>c"))

    assert graph.reachable("a") == {"a", "b", "c"}
    assert graph.callees("c") == ("a",)
    assert graph.callers("a") == ("c",)


def test_component_without_telemetry_is_looked_through() -> None:
    graph = CallGraph(edges("a>hidden", "hidden>b", "hidden>deeper", "deeper>c", "a>d"))

    assert graph.observed_callees("a", frozenset({"a", "b", "c", "d"})) == ("b", "c", "d")


def test_blame_is_neither_lost_nor_made() -> None:
    shares = {"a": {"b": 0.6, "c": 0.4}, "b": {"c": 0.5}, "c": {"a": 0.25}}

    arrived, kept = spread_blame("a", shares)

    assert sum(kept.values()) == pytest.approx(1.0)
    assert arrived["a"] > 1.0
    assert kept["c"] == max(kept.values())


def test_strongest_path_is_taken() -> None:
    paths = strongest_paths("a", {"a": {"b": 0.3, "c": 0.7}, "b": {"d": 1.0}, "c": {"d": 0.9}, "d": {}})

    assert paths["d"] == ("a", "c", "d")


def test_callers_of_one_slow_database_are_one_incident() -> None:
    found = shared(
        degraded(orders=10, stock=11, database=10),
        edges("web>orders", "orders>database", "stock>database"),
        components="web orders stock users database",
    )

    assert [(i.dependency, i.components) for i in found] == [("database", ("orders", "stock"))]
    assert "degraded at the same time" in found[0].reason
    assert found[0].started == 600.0


def test_unmeasured_dependency_is_named_when_its_callers_degrade() -> None:
    found = shared(
        degraded(orders=10, stock=11, users=10), edges("orders>mail", "stock>mail", "users>mail", "web>orders")
    )

    assert [(i.dependency, i.components) for i in found] == [("mail", ("orders", "stock", "users"))]
    assert "is not measured itself" in found[0].reason


def test_callers_above_the_origins_belong_to_the_incident() -> None:
    found = shared(
        degraded(orders=10, stock=11, database=10, web=10),
        edges("web>orders", "orders>database", "stock>database"),
        components="web orders stock users database",
    )

    assert found[0].components == ("orders", "stock", "web")


@pytest.mark.parametrize(
    ("worse", "calls"),
    [
        pytest.param(degraded(orders=10), edges("orders>database", "stock>database"), id="one-component"),
        pytest.param(
            degraded(orders=10, web=10), edges("web>orders", "orders>database", "web>database"), id="and-its-caller"
        ),
        pytest.param(degraded(orders=10, stock=40), edges("orders>database", "stock>database"), id="far-apart"),
        pytest.param(degraded(orders=10, stock=10), edges("orders>database", "stock>mail"), id="nothing-in-common"),
        pytest.param(
            degraded(orders=10, stock=10),
            edges("orders>mail", "stock>mail", "users>mail", "web>mail"),
            id="half-of-the-callers-stay-well",
        ),
        pytest.param([], edges("orders>mail"), id="none"),
    ],
)
def test_independent_regressions_stay_what_they_are(worse: list[Degraded], calls: tuple[CallEdge, ...]) -> None:
    assert shared(worse, calls) == ()


def test_healthy_dependency_explains_nothing() -> None:
    found = shared(
        degraded(orders=10, stock=10),
        edges("orders>database", "stock>database"),
        components="web orders stock users database",
    )

    assert found == ()


def test_dependency_of_the_application_itself_is_left_to_the_root_cause() -> None:
    found = shared(degraded(orders=10, stock=10, users=10), edges("orders>users", "stock>users"))

    assert found == ()


def test_all_at_once_without_a_release_is_something_unobserved() -> None:
    found = shared(degraded(web=10, orders=10, stock=11, users=12), ())

    assert [(i.dependency, len(i.components)) for i in found] == [(None, 4)]


@pytest.mark.parametrize(
    "released_at", [pytest.param((600.0,), id="at-the-start"), pytest.param((480.0,), id="two-periods-before")]
)
def test_all_at_once_after_a_release_is_not_called_unobserved(released_at: tuple[float, ...]) -> None:
    assert shared(degraded(web=10, orders=10, stock=11, users=12), (), released_at=released_at) == ()


def test_all_at_once_through_one_component_is_not_called_unobserved() -> None:
    calls = edges("web>orders", "stock>orders", "users>orders")

    assert shared(degraded(web=10, orders=10, stock=11, users=12), calls) == ()
