"""What every implementation of `ports.Records` keeps to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from selfbuild.adapters.store import SqlStore
from selfbuild.domain.cycles import CycleStatus
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.insights import InsightType
from selfbuild.domain.releases import ReleaseState
from selfbuild.domain.streams import StreamState
from selfbuild.domain.workers import WorkerFacts
from selfbuild.ports import Records
from tests.fakes.records import FakeRecords
from tests.fakes.values import NOON, a_cycle, a_ledger_entry, an_application, an_improvement, an_insight


@pytest.fixture(params=["fake", "sqlite"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    if request.param == "fake":
        yield FakeRecords()
        return
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/made/store.db")
    await store.open()
    yield store
    await store.close()


async def test_saved_cycle_is_read_back_whole(records: Records) -> None:
    await records.save_cycle(a_cycle(improvements=(an_improvement(),)))

    assert await records.cycle(a_cycle().cycle_id) == a_cycle(improvements=(an_improvement(),))


async def test_cycle_saved_twice_is_replaced(records: Records) -> None:
    await records.save_cycle(a_cycle(status=CycleStatus.RUNNING))
    await records.save_cycle(a_cycle(status=CycleStatus.COMPLETED))

    (found,) = await records.cycles(tenants=None)
    assert found.status is CycleStatus.COMPLETED


async def test_unknown_ids_are_none(records: Records) -> None:
    assert await records.cycle("cycle_x") is None
    assert await records.improvement("x") is None
    assert await records.ledger_get("x") is None
    assert await records.patch_barred(an_application(), "d" * 64) is None


async def test_cycles_come_newest_first_within_the_limit(records: Records) -> None:
    for hour in (1, 3, 2):
        await records.save_cycle(a_cycle(f"cycle_{hour}", started_at=NOON + timedelta(hours=hour)))

    assert [each.cycle_id for each in await records.cycles(tenants=None, limit=2)] == ["cycle_3", "cycle_2"]


async def test_cycles_of_other_tenants_are_left_out(records: Records) -> None:
    await records.save_cycle(a_cycle("cycle_1", tenant_id="acme"))
    await records.save_cycle(a_cycle("cycle_2", tenant_id="globex"))

    assert [each.cycle_id for each in await records.cycles(tenants=["globex"])] == ["cycle_2"]
    assert await records.cycles(tenants=[]) == ()


async def test_improvements_are_found_by_cycle_and_tenant(records: Records) -> None:
    await records.save_improvement(an_improvement("i-1", cycle_id="cycle_1"))
    await records.save_improvement(an_improvement("i-2", cycle_id="cycle_1", tenant_id="globex"))
    await records.save_improvement(an_improvement("i-3", cycle_id="cycle_2"))

    found = await records.improvements(tenants=["acme"], cycle_id="cycle_1")

    assert [each.improvement_id for each in found] == ["i-1"]
    assert await records.improvement("i-3") == an_improvement("i-3", cycle_id="cycle_2")


@pytest.mark.parametrize("name", ["p95_ms", "P95", "performance_degradation", "summary"])
async def test_insights_match_numbers_type_and_component(records: Records, name: str) -> None:
    other = an_insight("ins-2", component="topics", insight_type=InsightType.ERROR_PATTERN)
    other = other.model_copy(update={"evidence": other.evidence.model_copy(update={"numbers": {"errors": 3.0}})})
    await records.save_insights(an_application(), "cycle_1", [an_insight("ins-1"), other])

    found = await records.insights(tenants=None, since=NOON - timedelta(hours=1), metric_name=name)

    assert [(tenant, insight.insight_id) for tenant, insight in found] == [("acme", "ins-1")]


async def test_insights_come_newest_window_first_and_not_older_than_asked(records: Records) -> None:
    saved = [an_insight(f"ins-{hour}", window_end=NOON + timedelta(hours=hour)) for hour in (1, 3, 2)]
    await records.save_insights(an_application(), "cycle_1", saved)

    found = await records.insights(tenants=["acme"], since=NOON + timedelta(hours=2))

    assert [insight.insight_id for _, insight in found] == ["ins-3", "ins-2"]
    assert len(await records.insights(tenants=None, since=NOON, limit=1)) == 1


async def test_same_insight_id_of_two_tenants_stays_apart(records: Records) -> None:
    await records.save_insights(an_application("acme"), "cycle_1", [an_insight("ins-1", component="a")])
    await records.save_insights(an_application("globex"), "cycle_2", [an_insight("ins-1", component="b")])

    found = await records.insights(tenants=["acme"], since=NOON)

    assert [(tenant, insight.component) for tenant, insight in found] == [("acme", "a")]


async def test_insights_saved_twice_are_replaced(records: Records) -> None:
    for component in ("before", "after"):
        await records.save_insights(an_application(), "cycle_1", [an_insight(component=component)])

    ((_, found),) = await records.insights(tenants=None, since=NOON)
    assert found.component == "after"


async def test_no_insights_are_saved_without_harm(records: Records) -> None:
    await records.save_insights(an_application(), "cycle_1", [])

    assert await records.insights(tenants=None, since=NOON) == ()


async def test_ledger_moves_a_release_on(records: Records) -> None:
    for state in (ReleaseState.DEPLOYING, ReleaseState.CANARY, ReleaseState.PROMOTED):
        assert (await records.ledger_put(a_ledger_entry(state=state))).state is state

    found = await records.ledger_get("rel-1")
    assert found == a_ledger_entry(state=ReleaseState.PROMOTED)


@pytest.mark.parametrize("late", list(ReleaseState))
async def test_rolled_back_release_stays_so(records: Records, late: ReleaseState) -> None:
    tombstone = a_ledger_entry(state=ReleaseState.ROLLED_BACK)
    await records.ledger_put(tombstone)

    answer = await records.ledger_put(
        a_ledger_entry(state=late).model_copy(update={"updated_at": NOON + timedelta(hours=1)})
    )

    assert answer == tombstone
    assert await records.ledger_get("rel-1") == tombstone


async def test_rollback_wins_against_racing_deploys(records: Records) -> None:
    await records.ledger_put(a_ledger_entry(state=ReleaseState.DEPLOYING))

    await asyncio.gather(
        *(records.ledger_put(a_ledger_entry(state=ReleaseState.CANARY)) for _ in range(10)),
        records.ledger_put(a_ledger_entry(state=ReleaseState.ROLLED_BACK)),
        *(records.ledger_put(a_ledger_entry(state=ReleaseState.PROMOTED)) for _ in range(10)),
    )

    found = await records.ledger_get("rel-1")
    assert found is not None
    assert found.state is ReleaseState.ROLLED_BACK


async def test_only_releases_on_trial_are_open(records: Records) -> None:
    for number, state in enumerate(ReleaseState, start=1):
        await records.ledger_put(a_ledger_entry(f"rel-{number}", state))

    assert [entry.state for entry in await records.ledger_open()] == [ReleaseState.DEPLOYING, ReleaseState.CANARY]


async def test_barred_patch_keeps_its_first_reason_and_its_application(records: Records) -> None:
    await records.bar_patch(an_application(), "d" * 64, "made errors")
    await records.bar_patch(an_application(), "d" * 64, "said again")

    assert await records.patch_barred(an_application(), "d" * 64) == "made errors"
    assert await records.patch_barred(an_application("globex"), "d" * 64) is None


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    first, second = (SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db") for _ in range(2))

    try:
        await asyncio.gather(first.open(), second.open())
        await first.save_cycle(a_cycle())

        assert await second.cycle(a_cycle().cycle_id) == a_cycle()
    finally:
        await asyncio.gather(first.close(), second.close())


@pytest.mark.parametrize("url", ["store.db", "mysql://host/db", "sqlite:///store.db"])
def test_unknown_store_url_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured, match="STORE_URL"):
        SqlStore(url)


async def test_streams_are_replaced_and_kept_apart_by_tenant(records: Records) -> None:
    for tenant, lag_s in (("acme", 1.0), ("globex", 2.0), ("acme", 3.0)):
        await records.save_stream(
            StreamState(tenant_id=tenant, application="shop", cursor=NOON, updated_at=NOON, interval_s=60, lag_s=lag_s)
        )

    assert [(each.tenant_id, each.lag_s) for each in await records.streams(tenants=None)] == [
        ("acme", 3.0),
        ("globex", 2.0),
    ]
    assert [each.tenant_id for each in await records.streams(tenants=("globex",))] == ["globex"]


async def test_worker_that_starts_again_replaces_what_it_said_and_one_that_stops_is_forgotten(records: Records) -> None:
    for minute, host, level in ((0, "a", "none"), (1, "b", "landlock"), (2, "a", "bubblewrap")):
        facts = WorkerFacts(
            host=host, queue="sandbox", written_at=NOON + timedelta(minutes=minute), sandbox_level=level, missing=("x",)
        )
        await records.save_worker(facts)

    assert [(each.host, each.sandbox_level) for each in await records.workers()] == [
        ("a", "bubblewrap"),
        ("b", "landlock"),
    ]
    await records.forget_worker("a", "sandbox")
    assert [each.host for each in await records.workers()] == ["b"]
