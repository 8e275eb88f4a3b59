"""The scheduled cycles: one Temporal schedule an application, spread over the interval. Temporal holds their state."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority

from selfbuild.domain.applications import Application
from selfbuild.domain.base import AwareDatetime, Value, digest_of
from selfbuild.domain.errors import NotFound
from selfbuild.domain.messages import LaunchRequest
from selfbuild.live import CYCLE_QUEUE, reaching_temporal
from selfbuild.settings import Settings

PREFIX = "schedule/"
CATCH_UP = timedelta(minutes=10)
"""A run that was due longer ago, while the server was down, is left out."""
LONGEST_JITTER = timedelta(minutes=10)
FIRST_RUN_AFTER = timedelta(hours=1)
"""A new application has nothing to compare yet."""
SCHEDULED_PRIORITY = 3
ALARM_RECONCILER = "alarm-reconciler"
ALARM_RECONCILE_EVERY = timedelta(minutes=5)

log = structlog.get_logger()


class ScheduleView(Value):
    """The schedule of one application."""

    tenant_id: str
    application: str
    paused: bool
    note: str
    """Why it is paused, or what was said when it was resumed."""
    interval_s: int
    next_at: AwareDatetime | None
    """None while it is paused."""
    last_at: AwareDatetime | None
    """When it was last due; what came of it is the result of `last_workflow_id`."""
    last_workflow_id: str | None


@dataclass
class EnsuredSchedules:
    """What `ensure_schedules` did, by application key."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def schedule_id(tenant_id: str, application: str) -> str:
    """Id of the schedule of an application."""
    return f"{PREFIX}{tenant_id}/{application}"


def wanted_schedule(tenant_id: str, application: str, *, every: timedelta, now: datetime) -> Schedule:
    """The schedule of an application; its hour follows from its key, so that applications do not crowd together."""
    key = f"{tenant_id}/{application}"
    offset_s = int(digest_of("schedule", key), 16) % int(every.total_seconds())
    return Schedule(
        action=ScheduleActionStartWorkflow(
            "CycleLauncher",
            LaunchRequest(tenant_id=tenant_id, application=application),
            id=f"launch/{key}",
            task_queue=CYCLE_QUEUE,
            static_summary=f"{key}, schedule",
            priority=Priority(priority_key=SCHEDULED_PRIORITY, fairness_key=tenant_id),
        ),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=every, offset=timedelta(seconds=offset_s))],
            jitter=min(LONGEST_JITTER, every / 24),
            start_at=(now + FIRST_RUN_AFTER).replace(microsecond=0),
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        state=ScheduleState(note=f"a cycle of {key} every {every}"),
    )


async def ensure_schedules(
    client: Client, settings: Settings, applications: Sequence[Application], *, now: datetime | None = None
) -> EnsuredSchedules:
    """Create missing schedules, correct changed ones, delete those of applications that are gone.

    Safe for every worker that starts; all workers of a namespace must read the same application file. Whether a
    schedule is paused, and its note, are never touched.

    Raises:
        Unreachable: Temporal does not answer.
    """
    every = timedelta(hours=settings.improvement_cycle_interval_hours)
    done = EnsuredSchedules()
    wanted = {
        schedule_id(each.tenant_id, each.name): wanted_schedule(
            each.tenant_id, each.name, every=every, now=now or datetime.now(UTC)
        )
        for each in applications
    }
    for identity, schedule in wanted.items():
        bucket = await _ensure(client, identity, schedule, done)
        bucket.append(identity.removeprefix(PREFIX))
    for identity in await _ids(client):
        if identity not in wanted and await _delete(client, identity):
            done.deleted.append(identity.removeprefix(PREFIX))
    if done.created or done.updated or done.deleted:
        log.info("schedules.ensured", created=done.created, updated=done.updated, deleted=done.deleted)
    return done


async def ensure_alarm_reconciler(client: Client) -> None:
    """Look for alarms whose event was lost, every five minutes. Safe for every worker that starts."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow("AlarmReconciler", id="reconcile-alarms", task_queue=CYCLE_QUEUE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=ALARM_RECONCILE_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=ALARM_RECONCILE_EVERY),
    )
    try:
        async with reaching_temporal():
            await client.create_schedule(ALARM_RECONCILER, schedule)
    except ScheduleAlreadyRunningError:
        return


async def list_schedules(client: Client) -> tuple[ScheduleView, ...]:
    """All schedules of applications, by tenant and application."""
    found = []
    for identity in await _ids(client):
        try:
            async with reaching_temporal():
                found.append(_view(await client.get_schedule_handle(identity).describe()))
        except NotFound:
            continue
    return tuple(sorted(found, key=lambda view: (view.tenant_id, view.application)))


async def find_schedule(client: Client, tenant_id: str, application: str) -> ScheduleView:
    """One schedule as it is now. Raises NotFound."""
    async with _known(tenant_id, application):
        return _view(await _handle(client, tenant_id, application).describe())


async def pause_schedule(client: Client, tenant_id: str, application: str, note: str) -> None:
    """Start no more scheduled cycles of the application, until it is resumed. Raises NotFound."""
    async with _known(tenant_id, application):
        await _handle(client, tenant_id, application).pause(note=note)
    log.info("schedule.paused", tenant_id=tenant_id, app_id=application)


async def resume_schedule(client: Client, tenant_id: str, application: str, note: str) -> None:
    """Start scheduled cycles again; none is made up for. Raises NotFound."""
    async with _known(tenant_id, application):
        await _handle(client, tenant_id, application).unpause(note=note)
    log.info("schedule.resumed", tenant_id=tenant_id, app_id=application)


async def trigger_schedule(client: Client, tenant_id: str, application: str) -> None:
    """Do now what is due next, also while paused; a cycle that runs already wins. Raises NotFound."""
    async with _known(tenant_id, application):
        await _handle(client, tenant_id, application).trigger(overlap=ScheduleOverlapPolicy.SKIP)
    log.info("schedule.triggered", tenant_id=tenant_id, app_id=application)


def _handle(client: Client, tenant_id: str, application: str) -> ScheduleHandle:
    return client.get_schedule_handle(schedule_id(tenant_id, application))


@asynccontextmanager
async def _known(tenant_id: str, application: str) -> AsyncIterator[None]:
    """`reaching_temporal`, with a NotFound that names the application and the remedy."""
    try:
        async with reaching_temporal():
            yield
    except NotFound as error:
        raise NotFound(
            f"no schedule for '{tenant_id}/{application}': a worker makes one for each application of APPLICATIONS_FILE"
        ) from error


async def _ensure(client: Client, identity: str, schedule: Schedule, done: EnsuredSchedules) -> list[str]:
    """Create or correct one; the list of `done` that it belongs to."""
    try:
        async with reaching_temporal():
            await client.create_schedule(identity, schedule)
    except ScheduleAlreadyRunningError:
        pass
    else:
        return done.created
    changed = False

    def corrected(input: ScheduleUpdateInput) -> ScheduleUpdate | None:
        nonlocal changed
        present = input.description.schedule
        changed = not _alike(present, schedule)
        if not changed:
            return None
        spec = replace(schedule.spec, start_at=present.spec.start_at)
        return ScheduleUpdate(replace(schedule, spec=spec, state=present.state))

    async with reaching_temporal():
        await client.get_schedule_handle(identity).update(corrected)
    return done.updated if changed else done.kept


def _alike(present: Schedule, wanted: Schedule) -> bool:
    """Whether both fire at the same times under the same policy; what they start follows from the id."""
    return (
        list(present.spec.intervals) == list(wanted.spec.intervals)
        and present.spec.jitter == wanted.spec.jitter
        and present.policy == wanted.policy
    )


async def _ids(client: Client) -> list[str]:
    """Ids of all schedules of applications; one that was made a moment ago may be missing."""
    async with reaching_temporal():
        listed = await client.list_schedules()
        return sorted([each.id async for each in listed if each.id.startswith(PREFIX)])


async def _delete(client: Client, identity: str) -> bool:
    """False where another worker was first."""
    try:
        async with reaching_temporal():
            await client.get_schedule_handle(identity).delete()
    except NotFound:
        return False
    return True


def _view(described: ScheduleDescription) -> ScheduleView:
    tenant_id, _, application = described.id.removeprefix(PREFIX).partition("/")
    schedule, info = described.schedule, described.info
    last = info.recent_actions[-1] if info.recent_actions else None
    paused = schedule.state.paused
    return ScheduleView(
        tenant_id=tenant_id,
        application=application,
        paused=paused,
        note=schedule.state.note or "",
        interval_s=int(schedule.spec.intervals[0].every.total_seconds()) if schedule.spec.intervals else 0,
        next_at=None if paused or not info.next_action_times else info.next_action_times[0],
        last_at=last.scheduled_at if last else None,
        last_workflow_id=getattr(last.action, "workflow_id", None) if last else None,
    )
