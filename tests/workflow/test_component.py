"""generate_component on the time-skipping server: real steps over fakes of their ports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from activities.boundary import Boundary
from activities.components import ComponentActivities
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.component_generator import ModelComponentGenerator
from selfbuild.adapters.scaffold_generator import ScaffoldGenerator
from selfbuild.component_ports import ComponentGenerator
from selfbuild.domain.components import (
    ComponentGateReport,
    ComponentReport,
    ComponentRequest,
    ComponentStatus,
    component_workflow_id,
)
from selfbuild.domain.errors import AccessDenied, ProviderOverloaded
from tests.fakes.components import (
    FakeComponentGate,
    FakeComponentRepository,
    FakeComponents,
    FakeModel,
    a_component_request,
    written_by_a_model,
)
from workflows import component_steps, steps
from workflows.component import GenerateComponent

REFUSED = ComponentGateReport(accepted=False, message="Validation failed: tests: 1 tests fail", reason_class="tests")
ATTACK = ComponentGateReport(accepted=False, message="uses eval", reason_class="code", final=True)
ANSWER = {"summary": "it is done", "files": written_by_a_model(a_component_request())}


class World:
    """What the steps stand on."""

    def __init__(self, folder: Path) -> None:
        self.gate = FakeComponentGate()
        self.repository = FakeComponentRepository()
        self.registry = FakeComponents()
        self.artifacts = FolderArtifacts(folder)
        self.generators: dict[str, ComponentGenerator] = {"recipes": ScaffoldGenerator()}

    def model(self, *answers: Any, name: str = "anthropic") -> FakeModel:
        model = FakeModel(*answers, name=name)
        self.generators[name] = ModelComponentGenerator(model)
        return model

    @asynccontextmanager
    async def serving(self, client: Client) -> AsyncIterator[None]:
        does = ComponentActivities(self.generators, self.gate, self.repository, self.registry, self.artifacts)
        named: dict[str, Callable[..., Any]] = {
            "draft_component": does.draft_component,
            "check_component": does.check_component,
            "commit_component": does.commit_component,
            "register_component": does.register_component,
        }
        async with AsyncExitStack() as stack:
            for queue in steps.QUEUES:
                mine = [named[step.name] for step in component_steps.COMPONENT_STEPS if step.queue == queue]
                workflows = [GenerateComponent] if queue == steps.CYCLE_QUEUE else []
                if mine or workflows:
                    worker = Worker(
                        client, task_queue=queue, workflows=workflows, activities=mine, interceptors=[Boundary()]
                    )
                    await stack.enter_async_context(worker)
            yield


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def start(client: Client, request: ComponentRequest) -> WorkflowHandle[Any, ComponentReport]:
    return await client.start_workflow(
        "GenerateComponent",
        request,
        id=component_workflow_id(request),
        task_queue="cycle",
        result_type=ComponentReport,
    )


async def run(skipping: WorkflowEnvironment, world: World, **changes: Any) -> ComponentReport:
    async with world.serving(skipping.client):
        handle = await start(skipping.client, a_component_request(**changes))
        report = await handle.result()
        replayer = Replayer(workflows=[GenerateComponent], data_converter=skipping.client.data_converter)
        await replayer.replay_workflow(await handle.fetch_history())
        return report


async def test_scaffold_is_gated_committed_and_registered(skipping: WorkflowEnvironment, world: World) -> None:
    report = await run(skipping, world)

    assert (report.status, report.provider, report.scaffold) == (ComponentStatus.REGISTERED, "recipes", True)
    assert report.registration is not None
    assert report.registration.key == "acme/meeting-summary@1"
    assert report.missing == ("capability summarise_meetings", "capability find_owners")
    assert await world.registry.find(report.component_id) == report
    ((_, trailers),) = world.repository.commits
    assert trailers["Component-Id"] == report.component_id
    assert trailers["Provider"] == "recipes scaffold-skill"
    assert len(world.gate.seen) == 1
    assert any("merge the branch" in step for step in report.next_steps)


async def test_next_provider_is_asked_where_one_fails(skipping: WorkflowEnvironment, world: World) -> None:
    denied = world.model(AccessDenied("wrong key"))
    world.model(ANSWER, name="openai")

    report = await run(skipping, world, providers=("anthropic", "bedrock", "openai", "recipes"))

    assert (report.status, report.provider, report.model) == (ComponentStatus.REGISTERED, "openai", "model-1")
    assert not report.scaffold
    assert report.attempts[0] == "anthropic: AccessDenied: wrong key"
    assert report.attempts[1].startswith("bedrock: Misconfigured: provider 'bedrock' makes no components")
    assert len(denied.asked) == 1


async def test_overloaded_provider_is_asked_again(skipping: WorkflowEnvironment, world: World) -> None:
    model = world.model(ProviderOverloaded("busy"), ProviderOverloaded("busy"), ANSWER)

    report = await run(skipping, world, providers=("anthropic",))

    assert report.status is ComponentStatus.REGISTERED
    assert len(model.asked) == 3


async def test_refused_draft_is_repaired_with_the_gates_words(skipping: WorkflowEnvironment, world: World) -> None:
    model = world.model("no JSON", ANSWER, ANSWER)
    world.gate = FakeComponentGate(REFUSED)

    report = await run(skipping, world, providers=("anthropic",))

    assert report.status is ComponentStatus.REGISTERED
    assert [len(asked.exchanges) for asked in model.asked] == [0, 1, 2]
    assert model.asked[1].exchanges[0].answer == "no JSON"
    assert "1 tests fail" in model.asked[2].exchanges[1].feedback
    assert "last attempt" in model.asked[2].exchanges[1].feedback
    assert (report.usage.input_tokens, round(report.usage.cost_usd, 2)) == (300, 0.03)


async def test_provider_that_never_passes_is_followed_by_the_scaffold(
    skipping: WorkflowEnvironment, world: World
) -> None:
    model = world.model(ANSWER, ANSWER, ANSWER)
    world.gate = FakeComponentGate(REFUSED, REFUSED, REFUSED)

    report = await run(skipping, world, providers=("anthropic", "recipes"))

    assert (report.status, report.scaffold) == (ComponentStatus.REGISTERED, True)
    assert len(model.asked) == 3


async def test_component_that_nobody_can_make_is_rejected(skipping: WorkflowEnvironment, world: World) -> None:
    world.model(ANSWER, ANSWER, ANSWER)
    world.gate = FakeComponentGate(REFUSED, REFUSED, REFUSED)

    report = await run(skipping, world, providers=("anthropic",))

    assert report.status is ComponentStatus.REJECTED
    assert "1 tests fail" in report.reason
    assert report.registration is None
    assert world.repository.commits == []
    assert (await world.registry.find(report.component_id)) == report


async def test_suspicious_draft_ends_the_request(skipping: WorkflowEnvironment, world: World) -> None:
    model = world.model(ANSWER)
    world.gate = FakeComponentGate(ATTACK)

    report = await run(skipping, world, providers=("anthropic", "recipes"))

    assert report.status is ComponentStatus.REJECTED
    assert len(model.asked) == 1
    assert len(world.gate.seen) == 1


async def test_model_that_says_no_is_not_asked_again(skipping: WorkflowEnvironment, world: World) -> None:
    model = world.model({"summary": "needs the network", "files": []})

    report = await run(skipping, world, providers=("anthropic",))

    assert report.status is ComponentStatus.REJECTED
    assert "needs the network" in report.reason
    assert len(model.asked) == 1


async def test_cancelled_request_is_recorded(server: WorkflowEnvironment, world: World) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    class Stalling(ScaffoldGenerator):
        async def propose(self, question: Any, *, timeout_s: float) -> Any:
            asked.set()
            await released.wait()
            return await super().propose(question, timeout_s=timeout_s)

    world.generators["recipes"] = Stalling()
    async with world.serving(server.client):
        request = a_component_request()
        handle = await start(server.client, request)
        async with asyncio.timeout(30):
            await asked.wait()
            await handle.cancel()
            with pytest.raises(WorkflowFailureError) as failure:
                await handle.result()
        released.set()

    assert isinstance(failure.value.cause, CancelledError)
    recorded = await world.registry.find(request.component_id)
    assert recorded is not None
    assert recorded.status is ComponentStatus.CANCELLED
    assert world.repository.commits == []
