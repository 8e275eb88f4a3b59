"""A cycle and a collection over the real local AWS and a real Temporal server, in one process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.analysis import AnalysisActivities
from activities.boundary import Boundary
from activities.records import RecordActivities
from activities.streams import StreamActivities
from activities.telemetry import TelemetryActivities
from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.aws import make_client
from selfbuild.adapters.store import SqlStore
from selfbuild.adapters.telemetry_store import HotEvents
from selfbuild.agent import Agent
from selfbuild.domain.access import Requester, Scope
from selfbuild.settings import Settings
from selfbuild.streams import ensure_streams
from selfbuild.telemetry_setup import cycle_source, live_source, open_store
from tests.fakes.repository import FakeRepository
from workflows import steps
from workflows.improvement import Improvement
from workflows.improvement_cycle import ImprovementCycle
from workflows.store_keeper import StoreKeeper
from workflows.telemetry_stream import TelemetryStream

NAMESPACE, LOG_GROUP = "MeetMind/MCPUIHub", "/acme/shop"
BOUND_S = 60.0
ADMIN = Requester(key_id="k", principal="tester", tenants=None, scopes=frozenset(Scope))
APPLICATIONS = f"""
[[application]]
tenant_id = "acme"
name = "shop"
mode = "observe"
[application.telemetry]
namespace = "{NAMESPACE}"
log_group = "{LOG_GROUP}"
[application.repository]
url = "/nowhere/shop.git"
[application.release]
control_url = "http://127.0.0.1:1"
"""


class Rig:
    """The agent as its callers see it, and the local AWS whose faults are set."""

    def __init__(self, aws: LocalAws, agent: Agent, client: Client) -> None:
        self.aws, self.agent, self.client = aws, agent, client

    def break_(self, **rule: Any) -> None:
        """Disturb calls from now on; see `localaws.faults.FaultRule`."""
        self.aws.faults.replace_rules([fault_rule(rule)])

    def mend(self) -> None:
        """Serve every call again."""
        self.aws.faults.reset()

    async def start_cycle(self) -> str:
        """A dry run; its cycle id."""
        started = await self.agent.start_cycle(ADMIN, tenant_id="acme", dry_run=True)
        return started.cycle_id

    async def cycle(self, cycle_id: str) -> dict[str, Any]:
        """The cycle as callers see it."""
        return (await self.agent.get_cycle(ADMIN, cycle_id)).model_dump(mode="json")

    async def ended(self, cycle_id: str) -> dict[str, Any]:
        """The cycle once it has ended."""
        seen: dict[str, Any] = {}

        async def over() -> bool:
            seen.update(await self.cycle(cycle_id))
            return seen["finished_at"] is not None

        await self.until(over)
        return seen

    async def streamer(self) -> dict[str, Any]:
        """`cloudwatch_streamer` of the status."""
        status = await self.agent.status(ADMIN)
        return status.components.cloudwatch_streamer.model_dump(mode="json")

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for an asynchronous condition."""
        deadline = time.monotonic() + BOUND_S
        while not await condition():
            assert time.monotonic() < deadline, f"not within {BOUND_S:.0f} s"
            await asyncio.sleep(0.2)


@asynccontextmanager
async def rig(client: Client, aws: LocalAws, folder: Path) -> AsyncIterator[Rig]:
    """Everything that telemetry passes through, with a collection every two seconds."""
    (folder / "applications.toml").write_text(APPLICATIONS)
    settings = Settings(
        state_dir=folder,
        applications_file=folder / "applications.toml",
        aws_endpoint_url=aws.endpoint_url,
        cloudwatch_metrics_period=5,
        cloudwatch_stream_interval_seconds=2,
        analysis_window_seconds=60,
        baseline_window_seconds=60,
        judge_period_seconds=5,
        temporal_namespace=client.namespace,
    )
    publish(aws)
    async with AsyncExitStack() as stack:
        records = SqlStore(settings.store_url)
        await records.open()
        stack.push_async_callback(records.close)
        store = open_store(settings)
        stack.callback(store.close)
        artifacts = FolderArtifacts(folder / "artifacts")
        live = live_source(settings)
        telemetry = TelemetryActivities(cycle_source(settings, live, store), artifacts)
        streams = StreamActivities(live, store, records, HotEvents(1000), retention=timedelta(days=1))
        recording = RecordActivities(records, client)
        analysis = AnalysisActivities(artifacts, FakeRepository({"shop/actions.py": "x = 1\n"}))
        activities: dict[str, list[Callable[..., Any]]] = {
            steps.CYCLE_QUEUE: [recording.record_cycle, recording.record_improvement],
            steps.AWS_QUEUE: [telemetry.collect_telemetry, streams.stream_telemetry, streams.keep_store],
            steps.SANDBOX_QUEUE: [analysis.analyze],
        }
        workflows = (ImprovementCycle, Improvement, TelemetryStream, StoreKeeper)
        for queue, mine in activities.items():
            worker = Worker(
                client,
                task_queue=queue,
                workflows=workflows if queue == steps.CYCLE_QUEUE else (),
                activities=mine,
                interceptors=[Boundary()],
            )
            await stack.enter_async_context(worker)
        await ensure_streams(client, settings, settings.applications())
        yield Rig(aws, Agent(settings, records, client), client)
        await client.get_workflow_handle("stream/acme/shop").terminate()


def publish(aws: LocalAws) -> None:
    """Two minutes of requests, one in three failing, as the application's log lines with embedded metrics."""
    logs = make_client("logs", region="us-east-1", endpoint_url=aws.endpoint_url)
    logs.create_log_group(logGroupName=LOG_GROUP)
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="one")
    now_ms = int(time.time() * 1000)
    events = [_event(now_ms - 130_000 + 500 * n, failed=n % 3 == 0) for n in range(240)]
    logs.put_log_events(logGroupName=LOG_GROUP, logStreamName="one", logEvents=events)
    logs.close()


def _event(at_ms: int, *, failed: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["component", "tenant_id"], ["component", "release"]],
                    "Metrics": [
                        {"Name": "ResponseLatency", "Unit": "Milliseconds", "StorageResolution": 1},
                        {"Name": "Requests", "Unit": "Count", "StorageResolution": 1},
                        {"Name": "Errors", "Unit": "Count", "StorageResolution": 1},
                    ],
                }
            ],
        },
        "timestamp": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(),
        "level": "ERROR" if failed else "INFO",
        "component": "actions",
        "tenant_id": "acme",
        "release": "0" * 12,
        "ResponseLatency": 4.0,
        "Requests": 1,
        "Errors": int(failed),
    }
    if failed:
        place = {"file": "shop/actions.py", "line": 1, "function": "owner"}
        line["error"] = {"type": "KeyError", "message": "'owner'", **place}
    return {"timestamp": at_ms, "message": json.dumps(line)}
