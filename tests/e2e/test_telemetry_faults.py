"""Each fault of telemetry: what the cycle does, what the status says, and that nothing needs a restart afterwards."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from localaws.server import LocalAws
from tests.e2e.telemetry_rig import Rig, rig
from tests.workflow.conftest import server as temporal_server

server = temporal_server

TRANSIENT: dict[str, dict[str, Any]] = {
    "throttled": {"code": "ThrottlingException"},
    "internal error": {"code": "InternalServiceFault"},
    "connection reset": {"reset": True},
}
PERMANENT: dict[str, dict[str, Any]] = {
    "access denied": {"code": "AccessDeniedException"},
    "truncated body": {"truncate": True},
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with LocalAws(port=0) as running:
        yield running


@pytest.fixture
async def agent(server: WorkflowEnvironment, aws: LocalAws, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(server.client, aws, tmp_path) as running:
        yield running


async def streams_again(agent: Rig) -> None:
    async def well() -> bool:
        streamer = await agent.streamer()
        return bool(streamer["status"] == "active" and (streamer["stream_lag_seconds"] or 99) < 30)

    await agent.until(well)


async def fails_visibly(agent: Rig) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def failing() -> bool:
        seen.update(await agent.streamer())
        return bool(seen["status"] == "failing")

    await agent.until(failing)
    return seen


async def test_without_a_fault_the_error_is_found_and_the_store_filled(agent: Rig) -> None:
    await streams_again(agent)

    cycle = await agent.ended(await agent.start_cycle())

    assert cycle["status"] == "completed"
    assert [each["insight"]["error_type"] for each in cycle["opportunities"]] == ["KeyError"]
    assert (await agent.streamer())["events_processed_last_hour"] > 0


@pytest.mark.parametrize("name", ["throttled", *(pytest.param(n, marks=pytest.mark.slow) for n in list(TRANSIENT)[1:])])
async def test_a_passing_fault_is_waited_out(agent: Rig, name: str) -> None:
    await streams_again(agent)
    agent.break_(**TRANSIENT[name])

    cycle_id = await agent.start_cycle()
    streamer = await fails_visibly(agent)
    during = await agent.cycle(cycle_id)
    agent.mend()
    after = await agent.ended(cycle_id)

    assert streamer["circuit_breaker_state"] in ("open", "half_open")
    assert streamer["reason"]
    assert (during["status"], during["phase"]) == ("in_progress", "collecting")
    assert after["status"] == "completed"
    assert [each["insight"]["error_type"] for each in after["opportunities"]] == ["KeyError"]
    await streams_again(agent)


@pytest.mark.parametrize(
    "name", ["access denied", *(pytest.param(n, marks=pytest.mark.slow) for n in list(PERMANENT)[1:])]
)
async def test_a_lasting_fault_ends_the_cycle_with_its_reason_and_the_next_one_works(agent: Rig, name: str) -> None:
    await streams_again(agent)
    agent.break_(service="cloudwatch", **PERMANENT[name])

    failed = await agent.ended(await agent.start_cycle())
    streamer = await fails_visibly(agent)
    agent.mend()

    assert failed["status"] == "failed"
    assert failed["opportunities"] == []
    assert any("cloudwatch:" in note for note in failed["notes"])
    assert "cloudwatch:" in streamer["reason"]
    await streams_again(agent)
    assert (await agent.ended(await agent.start_cycle()))["status"] == "completed"


async def test_logs_that_may_not_be_read_leave_the_metrics(agent: Rig) -> None:
    await streams_again(agent)
    agent.break_(service="logs", code="AccessDeniedException")

    cycle = await agent.ended(await agent.start_cycle())

    assert cycle["status"] == "completed"
    assert any("logs:" in note for note in cycle["notes"])
    assert all(each["insight"]["error_type"] is None for each in cycle["opportunities"])
