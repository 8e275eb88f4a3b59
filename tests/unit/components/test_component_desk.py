"""Flags, load and risk, weighed before any work; who may see which component."""

import json
from pathlib import Path
from typing import Any

import pytest

from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.component_desk import ComponentDesk, ComponentOrder, DeskSettings
from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.components import ComponentFile, ComponentStatus
from selfbuild.domain.errors import AccessDenied, InvalidRequest, MalformedAnswer, NotFound
from tests.builders import NOON
from tests.fakes.components import a_component_request, a_registered
from tests.fakes.operations import FakeLiveComponents, a_desk

ALICE = Requester(principal="alice", key_id="k", tenants=("acme",), scopes=(Scope.COMPONENTS_WRITE,))
BOB = Requester(principal="bob", key_id="k2", tenants=("globex",), scopes=(Scope.COMPONENTS_WRITE,))


def an_order(context: dict[str, Any] | None = None, **requirements: Any) -> ComponentOrder:
    wanted: dict[str, Any] = {"name": "simple_service", "description": "Simple", "capabilities": ["single_capability"]}
    return ComponentOrder.model_validate(
        {"component_type": "service", "requirements": wanted | requirements, "context": context or {}}
    )


@pytest.fixture
def live() -> FakeLiveComponents:
    return FakeLiveComponents()


async def test_component_is_made_once_however_often_it_is_asked_for(live: FakeLiveComponents) -> None:
    desk = a_desk(live)

    reports = [await desk.generate(ALICE, "acme", an_order()) for _ in range(2)]

    assert reports[0] == reports[1]
    assert reports[0].status is ComponentStatus.REGISTERED
    assert len(live.made) == 1


@pytest.mark.parametrize(
    ("settings", "busy", "requirements", "reason_class", "alternative"),
    [
        pytest.param({"generation_enabled": False}, 0, {}, "flag", "ENABLE_COMPONENT_GENERATION", id="flag"),
        pytest.param({"agent_enabled": False}, 0, {}, "paused", "ENABLE_SELF_BUILDING", id="paused"),
        pytest.param({}, 2, {}, "load", "MAX_CONCURRENT_COMPONENTS", id="load"),
        pytest.param({}, 0, {"capabilities": ["open a shell"]}, "risk", "one operation", id="risk"),
        pytest.param({}, 0, {"dependencies": ["numpy"]}, "risk", "COMPONENT_ALLOWED_DEPENDENCIES", id="dependency"),
    ],
)
async def test_component_is_declined_with_reason_and_alternatives(
    live: FakeLiveComponents,
    settings: dict[str, Any],
    busy: int,
    requirements: dict[str, Any],
    reason_class: str,
    alternative: str,
) -> None:
    live.busy = busy
    desk = a_desk(live, **settings)

    report = await desk.generate(ALICE, "acme", an_order(**requirements))

    assert report.status is ComponentStatus.DECLINED
    assert report.declined is not None
    assert report.declined.reason_class == reason_class
    assert alternative in " ".join(report.declined.alternatives)
    assert report.next_steps == report.declined.alternatives
    assert live.made == []
    assert (await desk.get(ALICE, report.component_id, ["acme"])).reason == report.reason


async def test_declined_component_is_made_once_the_reason_is_gone(live: FakeLiveComponents) -> None:
    live.busy = 5
    declined = await a_desk(live).generate(ALICE, "acme", an_order())
    live.busy = 0

    made = await a_desk(live).generate(ALICE, "acme", an_order())

    assert made.component_id == declined.component_id
    assert made.status is ComponentStatus.REGISTERED


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "gate: Validation failed: Syntax error on line 42 of x.py: oops",
            "Validation failed: Syntax error on line 42",
        ),
        ("anthropic: Unreachable: no answer within 60 s", "Generation failed: anthropic: Unreachable: no answer"),
    ],
)
async def test_component_that_nobody_can_make_says_why_and_is_kept(
    live: FakeLiveComponents, reason: str, said: str
) -> None:
    live.reason = reason

    with pytest.raises(MalformedAnswer) as failure:
        await a_desk(live).generate(ALICE, "acme", an_order())

    (kept,) = (await a_desk(live).list(ALICE, ["acme"], name=None, limit=10)).components
    assert str(failure.value).startswith(said)
    assert str(failure.value).endswith(f"(component {kept.component_id})")
    assert kept.status is ComponentStatus.REJECTED


async def test_slow_component_is_answered_as_generating(live: FakeLiveComponents) -> None:
    live.slow = True

    report = await a_desk(live).generate(ALICE, "acme", an_order())

    assert report.status is ComponentStatus.GENERATING
    assert report.workflow_id == f"component/acme/{report.component_id}"
    assert report.component_id in report.next_steps[0]


async def test_tenants_see_only_their_own(live: FakeLiveComponents) -> None:
    desk = a_desk(live)
    report = await desk.generate(ALICE, "acme", an_order())

    assert (await desk.list(BOB, ["globex"], name=None, limit=10)).components == ()
    with pytest.raises(NotFound):
        await desk.get(BOB, report.component_id, ["globex"])
    assert [each.component_id for each in (await desk.list(ALICE, ["acme"], name=None, limit=10)).components] == [
        report.component_id
    ]


async def test_files_come_with_the_component(live: FakeLiveComponents, tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)
    ref = await artifacts.put(json.dumps([{"path": "README.md", "content": "# x\n"}]).encode())
    saved = await live.registry.save(a_registered(stored_files=ref))
    settings = DeskSettings(
        generation_enabled=True,
        agent_enabled=True,
        max_concurrent=1,
        allowed_dependencies=(),
        providers=(),
        timeout_s=1,
        provider_attempts=1,
        provider_wait_s=1,
    )
    desk = ComponentDesk(settings, live.registry, live, artifacts, clock=lambda: NOON)

    found = await desk.get(ALICE, saved.component_id, ["acme"])

    assert found.files == (ComponentFile(path="README.md", content="# x\n"),)


async def test_scope_is_needed(live: FakeLiveComponents) -> None:
    reader = ALICE.model_copy(update={"scopes": (Scope.CYCLES_READ,)})

    with pytest.raises(AccessDenied, match="components:write"):
        await a_desk(live).generate(reader, "acme", an_order())
    with pytest.raises(AccessDenied):
        await a_desk(live).list(reader, ["acme"], name=None, limit=1)


async def test_large_context_is_an_invalid_request(live: FakeLiveComponents) -> None:
    with pytest.raises(InvalidRequest, match="context"):
        await a_desk(live).generate(ALICE, "acme", an_order(context={"x": "y" * 30_000}))


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="qualityrequirements"):
        an_order(qualityrequirements={})


async def test_request_carries_what_the_settings_say(live: FakeLiveComponents) -> None:
    await a_desk(live, providers=("anthropic", "recipes"), timeout_s=7).generate(ALICE, "acme", an_order())

    (request,) = live.made
    assert (request.providers, request.timeout_s, request.requested_by) == (("anthropic", "recipes"), 7, "alice")
    assert request.component_id != a_component_request().component_id
