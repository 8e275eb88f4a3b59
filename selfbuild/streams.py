"""Starts the rolling collections that the settings ask for, and ends the others. Safe to ask for by every worker."""

from collections.abc import Sequence
from datetime import timedelta

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
from temporalio.common import Priority, WorkflowIDConflictPolicy

from selfbuild.domain.applications import Application
from selfbuild.domain.streams import StreamRequest
from selfbuild.settings import Settings

CYCLE_QUEUE = "cycle"
KEEP_EVERY_S = 3600
MINUTE_S = 60
"""CloudWatch keeps periods of a minute for 15 days and asks no more for them than for longer ones."""
STREAM_PRIORITY = 4
"""Behind emergency (1), asked-for and scheduled cycles (3)."""

log = structlog.get_logger()


def stream_workflow_id(application: Application) -> str:
    """One collection for each application."""
    return f"stream/{application.tenant_id}/{application.name}"


def stream_request(settings: Settings, application: Application) -> StreamRequest:
    """What the settings ask of an application's collection."""
    policy = settings.policy(tenant_id=application.tenant_id)
    return StreamRequest(
        application=application,
        interval_s=settings.cloudwatch_stream_interval_seconds,
        period_s=min(policy.period_s, max(MINUTE_S, settings.cloudwatch_stream_interval_seconds // 60 * 60)),
        sampling_rate=settings.cloudwatch_log_sampling_rate,
        backfill_s=policy.baseline_window_s + policy.analysis_window_s,
    )


async def ensure_streams(client: Client, settings: Settings, applications: Sequence[Application]) -> None:
    """A running collection for every application, configured as the settings say; none where streaming is off."""
    wanted = {stream_workflow_id(each): each for each in applications} if settings.enable_cloudwatch_streaming else {}
    for workflow_id, application in wanted.items():
        request = stream_request(settings, application)
        await client.start_workflow(
            "TelemetryStream",
            request,
            id=workflow_id,
            task_queue=CYCLE_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="configure",
            start_signal_args=[request],
            priority=Priority(priority_key=STREAM_PRIORITY, fairness_key=application.tenant_id),
            static_summary=f"telemetry of {application.key}, every {request.interval_s} s",
        )
    async for running in client.list_workflows("WorkflowType = 'TelemetryStream' AND ExecutionStatus = 'Running'"):
        if running.id not in wanted:
            await client.get_workflow_handle(running.id).cancel()
            log.info("stream.ended", workflow_id=running.id)
    if wanted:
        await _schedule_housekeeping(client)


async def _schedule_housekeeping(client: Client) -> None:
    try:
        await client.create_schedule(
            "store-keeper",
            Schedule(
                action=ScheduleActionStartWorkflow("StoreKeeper", id="keep-store", task_queue=CYCLE_QUEUE),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=KEEP_EVERY_S))]),
                policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=10)),
            ),
        )
    except ScheduleAlreadyRunningError:
        return
