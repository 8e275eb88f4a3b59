"""generate_component end to end: a Temporal server, the real gate and sandbox, git, and the registry."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.boundary import Boundary
from activities.components import ComponentActivities
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.component_generator import ModelComponentGenerator
from selfbuild.adapters.component_repository import GitComponents
from selfbuild.adapters.component_store import SqlComponents
from selfbuild.adapters.gate.components import ComponentGateRunner
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.adapters.scaffold_generator import ScaffoldGenerator
from selfbuild.adapters.store import SqlStore
from selfbuild.component_desk import ComponentDesk, ComponentOrder, DeskSettings
from selfbuild.component_ports import ComponentGenerator
from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.components import ComponentReport, ComponentStatus
from selfbuild.live_components import LiveComponents
from tests.fakes.components import FakeModel
from tests.workflow.conftest import dev_server
from workflows import steps
from workflows.component import GenerateComponent

pytestmark = pytest.mark.slow

ALICE = Requester(principal="alice", key_id="k", tenants=("acme",), scopes=(Scope.COMPONENTS_WRITE,))
SETTINGS = DeskSettings(
    generation_enabled=True,
    agent_enabled=True,
    max_concurrent=2,
    allowed_dependencies=("mcp",),
    providers=("anthropic", "recipes"),
    timeout_s=60,
    provider_attempts=3,
    provider_wait_s=60,
)
BOUND_S = 110


def an_order(description: str) -> ComponentOrder:
    wanted = {"name": "meeting-summary", "description": description, "capabilities": ["Summarise meetings"]}
    return ComponentOrder.model_validate({"component_type": "skill", "requirements": wanted})


class World:
    """A tenant with nothing yet, and what the agent stands on."""

    def __init__(self, folder: Path, environment: WorkflowEnvironment, store: SqlStore) -> None:
        self.folder = folder
        self.client = environment.client
        self.artifacts = FolderArtifacts(folder / "artifacts")
        self.generators: dict[str, ComponentGenerator] = {"recipes": ScaffoldGenerator()}
        self.registry = SqlComponents(store.engine)
        self.desk = ComponentDesk(
            SETTINGS,
            self.registry,
            LiveComponents(self.client),
            self.artifacts,
            clock=lambda: datetime.now(UTC),
        )

    async def made(self, order: ComponentOrder) -> ComponentReport:
        async with asyncio.timeout(BOUND_S):
            while True:
                report = await self.desk.generate(ALICE, "acme", order)
                if report.status is not ComponentStatus.GENERATING:
                    return report


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    sandbox = find_sandbox()
    if isinstance(sandbox, NoSandbox):
        pytest.skip("no sandbox works on this machine")
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    await store.open()
    gate = ComponentGateRunner(sandbox)
    async with dev_server() as environment, AsyncExitStack() as stack:
        made = World(tmp_path, environment, store)
        repository = GitComponents(tmp_path / "components", {})
        does = ComponentActivities(made.generators, gate, repository, made.registry, made.artifacts)
        queues: dict[str, Callable[..., Any]] = {
            steps.CYCLE_QUEUE: does.register_component,
            steps.LLM_QUEUE: does.draft_component,
            steps.SANDBOX_QUEUE: does.check_component,
            steps.DEPLOY_QUEUE: does.commit_component,
        }
        for queue, activity in queues.items():
            worker = Worker(
                made.client,
                task_queue=queue,
                workflows=[GenerateComponent] if queue == steps.CYCLE_QUEUE else [],
                activities=[activity],
                interceptors=[Boundary()],
            )
            await stack.enter_async_context(worker)
        yield made
    gate.close()
    await store.close()


async def test_component_is_made_proved_committed_and_found_again(world: World) -> None:
    report = await world.made(an_order("Summarises meetings."))

    assert report.status is ComponentStatus.REGISTERED, report.reason
    assert report.scaffold
    assert report.validation.tests_passed
    assert report.validation.test_coverage == 1
    where = report.registration
    assert where is not None
    command = ["git", f"--git-dir={where.repository}", "show", f"{where.commit}:{where.path}/README.md"]
    shown = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    assert "still to be written" in shown.stdout
    detail = await world.desk.get(ALICE, report.component_id, ["acme"])
    assert {file.path for file in detail.files} == {file.path for file in report.files_generated}

    again = await world.made(an_order("Summarises meetings."))
    other = await world.made(an_order("Summarises meetings, and more."))
    assert again == report
    assert other.registration is not None
    assert (where.version, other.registration.version) == (1, 2)


WRITTEN = '''"""Summarises meetings."""

from collections.abc import Mapping
from typing import Any

CAPABILITIES = ("summarise_meetings",)


def call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The first sentence of each paragraph."""
    if name not in CAPABILITIES:
        return {"ok": False, "error": {"code": "unknown_capability"}}
    text = str(arguments.get("text", ""))
    return {"ok": True, "sentences": [part.split(".")[0] + "." for part in text.split("\\n") if part]}


def health() -> dict[str, Any]:
    """It needs nothing, so it is well."""
    return {"status": "ok"}
'''
TESTS = """from meeting_summary import call, health


def test_capability_summarise_meetings() -> None:
    assert call("summarise_meetings", {"text": "One. Two.\\nThree."})["sentences"] == ["One.", "Three."]


def test_unknown_capability_and_health() -> None:
    assert call("x", {})["ok"] is False
    assert health() == {"status": "ok"}
"""


def an_answer(tests: str) -> dict[str, Any]:
    files = {"README.md": "# Meetings\n", "meeting_summary/__init__.py": WRITTEN, "tests/test_summary.py": tests}
    return {
        "summary": "takes first sentences",
        "files": [{"path": path, "content": text} for path, text in files.items()],
    }


async def test_model_repairs_what_the_gate_refuses(world: World) -> None:
    model = FakeModel(an_answer(TESTS.replace('Three."]', 'Two."]')), an_answer(TESTS))
    world.generators["anthropic"] = ModelComponentGenerator(model)

    report = await world.made(an_order("Takes first sentences."))

    assert report.status is ComponentStatus.REGISTERED, report.reason
    assert (report.provider, report.scaffold, report.missing) == ("anthropic", False, ())
    assert report.validation.test_coverage == 1
    assert "test_capability_summarise_meetings" in model.asked[1].exchanges[0].feedback
    assert report.usage.input_tokens == 200
