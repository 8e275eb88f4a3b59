"""Composition root of the worker: settings → adapters → activities → one Temporal worker a queue. No decisions.

`python worker.py` serves all queues; `python worker.py --queues deploy` serves some, so that credentials can be split.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.worker import Interceptor, Worker

from activities.alarms import AlarmActivities
from activities.analysis import AnalysisActivities
from activities.boundary import Boundary
from activities.components import ComponentActivities
from activities.deployment import DeploymentActivities
from activities.generation import GenerationActivities
from activities.records import RecordActivities
from activities.streams import StreamActivities
from activities.telemetry import TelemetryActivities
from activities.validation import ValidationActivities
from selfbuild.adapters.alarm_queue import AlarmQueue, make_queue_client
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.aws import make_client
from selfbuild.adapters.component_generator import ModelComponentGenerator
from selfbuild.adapters.component_repository import GitComponents
from selfbuild.adapters.component_store import SqlComponents
from selfbuild.adapters.gate import GateRunner
from selfbuild.adapters.gate.components import ComponentGateRunner
from selfbuild.adapters.git_repository import GitRepository
from selfbuild.adapters.metered_model import MeteredModel
from selfbuild.adapters.process_release import ProcessRelease
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.adapters.scaffold_generator import ScaffoldGenerator
from selfbuild.adapters.spend_store import SqlSpendLedger
from selfbuild.adapters.store import SqlStore
from selfbuild.adapters.telemetry_store import HotEvents
from selfbuild.alarm_listener import AlarmListener
from selfbuild.alarm_routing import AlarmRouter
from selfbuild.component_ports import ComponentGenerator
from selfbuild.cycle_plans import CyclePlans
from selfbuild.domain.errors import Misconfigured, SelfBuildError
from selfbuild.leave import leave
from selfbuild.live import LiveWorkflows
from selfbuild.log import configure
from selfbuild.model_setup import language_models, patch_generators
from selfbuild.ports import LanguageModel, Sandbox, SandboxStatus, SpendLedger
from selfbuild.sandbox_check import check_sandbox
from selfbuild.schedules import ensure_alarm_reconciler, ensure_schedules
from selfbuild.settings import Settings
from selfbuild.streams import ensure_streams
from selfbuild.telemetry_setup import cycle_source, live_source, open_store
from selfbuild.temporal import connect, prepare_namespace
from workflows import steps
from workflows.alarm_gate import AlarmGate
from workflows.alarm_reconciler import AlarmReconciler
from workflows.component import GenerateComponent
from workflows.cycle_launcher import CycleLauncher
from workflows.improvement import Improvement
from workflows.improvement_cycle import ImprovementCycle
from workflows.release_reconciler import ReleaseReconciler
from workflows.rollback_release import RollbackRelease
from workflows.store_keeper import StoreKeeper
from workflows.telemetry_stream import TelemetryStream

WORKFLOWS = (
    ImprovementCycle,
    Improvement,
    RollbackRelease,
    ReleaseReconciler,
    AlarmGate,
    AlarmReconciler,
    CycleLauncher,
    TelemetryStream,
    StoreKeeper,
    GenerateComponent,
)
GRACEFUL_SHUTDOWN = timedelta(seconds=30)
RECONCILE_EVERY = timedelta(minutes=10)

log = structlog.get_logger()


Activities = dict[str, list[Callable[..., Any]]]


async def build_activities(
    settings: Settings, client: Client, stack: AsyncExitStack, queues: Sequence[str] = steps.QUEUES
) -> Activities:
    """The activities of each queue, over the adapters that the settings ask for."""
    state = settings.state_dir
    artifacts = FolderArtifacts(state / "artifacts")
    records = SqlStore(settings.store_url)
    await records.open()
    stack.push_async_callback(records.close)
    repository = GitRepository(state / "repositories")
    store = open_store(settings)
    stack.callback(store.close)
    live = live_source(settings)
    telemetry = TelemetryActivities(cycle_source(settings, live, store), artifacts)
    streams = StreamActivities(
        live,
        store,
        records,
        HotEvents(settings.max_telemetry_buffer_size),
        retention=timedelta(days=settings.telemetry_retention_days),
    )
    analysis = AnalysisActivities(artifacts, repository)
    models = _models(settings, SqlSpendLedger(records.engine), stack, queues)
    generation = GenerationActivities(patch_generators(settings, models), repository, records, artifacts)
    sandbox, sandbox_status = await _sandbox(settings, records, stack, queues)
    gate = GateRunner(sandbox, python=sys.executable, sandbox_status=sandbox_status)
    stack.callback(gate.close)
    validation = ValidationActivities(gate, repository, artifacts)
    deployment = DeploymentActivities(
        repository, ProcessRelease(), records, artifacts, releases_root=state / "releases"
    )
    components = _components(settings, stack, sandbox, records, artifacts, models=models)
    recording = RecordActivities(records, client)
    alarms = AlarmActivities(
        alarm_source(settings), alarm_router(settings, client), LiveWorkflows(client), CyclePlans(settings)
    )
    return {
        steps.CYCLE_QUEUE: [
            recording.record_cycle,
            recording.record_improvement,
            recording.find_release,
            recording.find_orphaned_releases,
            alarms.prepare_cycle,
            components.register_component,
        ],
        steps.AWS_QUEUE: [
            telemetry.collect_telemetry,
            telemetry.freeze_baseline,
            telemetry.monitor,
            streams.stream_telemetry,
            streams.keep_store,
            alarms.reconcile_alarms,
        ],
        steps.LLM_QUEUE: [generation.generate, components.draft_component],
        steps.SANDBOX_QUEUE: [analysis.analyze, validation.validate, components.check_component],
        steps.DEPLOY_QUEUE: [
            deployment.read_head,
            deployment.deploy,
            deployment.promote,
            deployment.rollback,
            components.commit_component,
        ],
    }


async def _sandbox(
    settings: Settings, records: SqlStore, stack: AsyncExitStack, queues: Sequence[str]
) -> tuple[Sandbox, SandboxStatus | None]:
    """Where this worker runs generated code; probed and published only where it does."""
    if steps.SANDBOX_QUEUE not in queues:
        return NoSandbox(f"this worker does not serve the queue {steps.SANDBOX_QUEUE!r}"), None
    sandbox = find_sandbox(settings.sandbox)
    host = socket.gethostname()
    now = datetime.now(UTC)
    status = await check_sandbox(sandbox, records, host=host, queue=steps.SANDBOX_QUEUE, now=now)
    stack.push_async_callback(records.forget_worker, host, steps.SANDBOX_QUEUE)
    return sandbox, status


def _components(
    settings: Settings,
    stack: AsyncExitStack,
    sandbox: Sandbox,
    records: SqlStore,
    artifacts: FolderArtifacts,
    *,
    models: Mapping[str, LanguageModel],
) -> ComponentActivities:
    """What generate_component stands on; without a model the scaffolds are the only provider."""
    generators: dict[str, ComponentGenerator] = {"recipes": ScaffoldGenerator()}
    # A component is several files where a patch is some lines.
    max_tokens = 4 * settings.llm_max_tokens
    generators |= {name: ModelComponentGenerator(model, max_tokens=max_tokens) for name, model in models.items()}
    gate = ComponentGateRunner(sandbox, python=sys.executable)
    stack.callback(gate.close)
    remotes = {tenant: url.get_secret_value() for tenant, url in settings.component_repositories.items()}
    repository = GitComponents(settings.state_dir / "components", remotes)
    return ComponentActivities(generators, gate, repository, SqlComponents(records.engine), artifacts)


def alarm_source(settings: Settings) -> AlarmQueue:
    """The queue of the alarms, which is looked for at the first call."""
    place: dict[str, Any] = {"region": settings.aws_region, "endpoint_url": settings.aws_endpoint_url}
    return AlarmQueue(
        make_queue_client(**place),
        make_client("cloudwatch", **place),
        queue_name=settings.alarm_queue_name,
        queue_url=settings.alarm_queue_url,
    )


def alarm_router(settings: Settings, client: Client) -> AlarmRouter:
    """What brings alarms to the gates of the watched applications."""
    return AlarmRouter(
        LiveWorkflows(client),
        settings.applications(),
        prefix=settings.cloudwatch_alarm_prefix,
        window_s=settings.cloudwatch_event_dedup_window_seconds,
    )


def _models(
    settings: Settings, ledger: SpendLedger, stack: AsyncExitStack, queues: Sequence[str]
) -> dict[str, LanguageModel]:
    """The language models of the settings within their budgets, only where this worker asks any: others need neither
    keys nor SDKs."""
    models = language_models(settings) if steps.LLM_QUEUE in queues else {}
    for model in models.values():
        stack.push_async_callback(model.aclose)
    return {name: MeteredModel(model, ledger, settings.llm_budgets()) for name, model in models.items()}


def _workers(
    client: Client, activities: Activities, queues: Sequence[str], interceptors: Sequence[Interceptor]
) -> list[Worker]:
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS if queue == steps.CYCLE_QUEUE else (),
            activities=activities[queue],
            interceptors=[Boundary(), *interceptors],
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
            max_heartbeat_throttle_interval=timedelta(seconds=5),
        )
        for queue in queues
    ]


async def _schedule_reconciler(client: Client) -> None:
    """Every ten minutes; safe to ask for by every worker that starts."""
    try:
        await client.create_schedule(
            "release-reconciler",
            Schedule(
                action=ScheduleActionStartWorkflow(
                    "ReleaseReconciler", id="reconcile-releases", task_queue=steps.CYCLE_QUEUE
                ),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=RECONCILE_EVERY)]),
                policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=10)),
            ),
        )
    except ScheduleAlreadyRunningError:
        return


async def _schedule_cycles(client: Client, settings: Settings) -> None:
    """The collections, the daily cycles and the search for lost alarms, where anything is watched."""
    if settings.applications_file is None:
        return
    await ensure_streams(client, settings, settings.applications())
    await ensure_schedules(client, settings, settings.applications())
    await ensure_alarm_reconciler(client)


async def serve(settings: Settings, queues: Sequence[str], interceptors: Sequence[Interceptor] = ()) -> None:
    """Run until SIGTERM or SIGINT, then let running activities finish. `interceptors` stand inside the boundary."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await prepare_namespace(settings.temporal_address, settings.temporal_namespace)
    client = await connect(settings.temporal_address, settings.temporal_namespace)
    async with AsyncExitStack() as stack:
        activities = await build_activities(settings, client, stack, queues)
        for worker in _workers(client, activities, queues, interceptors):
            await stack.enter_async_context(worker)
        if steps.CYCLE_QUEUE in queues:
            await _schedule_reconciler(client)
            await _schedule_cycles(client, settings)
        if steps.AWS_QUEUE in queues and settings.applications_file is not None:
            listener = AlarmListener(alarm_source(settings), alarm_router(settings, client))
            await stack.enter_async_context(listener.listening())
        log.info("worker.started", queues=list(queues), namespace=settings.temporal_namespace)
        await stopping.wait()
        log.info("worker.stopping")


def main(arguments: Sequence[str] | None = None, *, interceptors: Sequence[Interceptor] = ()) -> int:
    """Parse the command line and serve. Exit status 0 after a clean stop, 2 for a wrong command or setting."""
    parser = argparse.ArgumentParser(prog="worker.py", description=__doc__)
    parser.add_argument("--queues", default=",".join(steps.QUEUES), help="comma-separated; default: all")
    queues = [queue for queue in parser.parse_args(arguments).queues.split(",") if queue]
    unknown = sorted(set(queues) - set(steps.QUEUES))
    if unknown or not queues:
        parser.error(f"unknown queues {unknown}: choose from {', '.join(steps.QUEUES)}")
    try:
        settings = Settings.load()
        configure(settings.log_level, settings.log_format)
        asyncio.run(serve(settings, queues, interceptors))
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except SelfBuildError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 7
    return 0


if __name__ == "__main__":
    leave(main())
