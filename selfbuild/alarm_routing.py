"""Brings an alarm to the gate of the application that it is about."""

from collections.abc import Sequence

import structlog

from selfbuild.domain.alarms import Alarm, GateRequest, Unmatched, application_of
from selfbuild.domain.applications import Application
from selfbuild.live import LiveWorkflows

log = structlog.get_logger()


class AlarmRouter:
    """Shared by the listener, which is told of alarms, and the reconciler, which asks for them.

    Args:
        live: Temporal.
        applications: All that are watched.
        prefix: CLOUDWATCH_ALARM_PREFIX; alarms of other names are nobody's.
        window_s: CLOUDWATCH_EVENT_DEDUP_WINDOW_SECONDS.
    """

    def __init__(self, live: LiveWorkflows, applications: Sequence[Application], *, prefix: str, window_s: int) -> None:
        self._live = live
        self._applications = tuple(applications)
        self._window_s = window_s
        self.prefix = prefix

    def owner_of(self, alarm: Alarm) -> Application | Unmatched:
        """Whose alarm it is; an unmatched one is logged with its remedy."""
        if alarm.function_name is None and not alarm.name.startswith(self.prefix):
            found: Application | Unmatched = Unmatched(reason=f"its name lacks the prefix {self.prefix!r}")
        else:
            found = application_of(alarm, self._applications)
        if isinstance(found, Unmatched):
            log.warning("alarm.not_matched", alarm=alarm.name, reason=found.reason)
        return found

    async def ring(self, application: Application, alarm: Alarm) -> None:
        """Hand the alarm to the application's gate; returns once Temporal has it. Raises Unreachable."""
        request = GateRequest(tenant_id=application.tenant_id, application=application.name, window_s=self._window_s)
        await self._live.ring_gate(request, alarm)
        log.info("alarm.rung", alarm=alarm.name, tenant_id=application.tenant_id, app_id=application.name)
