"""The rolling collection of one application's telemetry: one round every interval, for ever."""

import math
from datetime import UTC, datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.streams import StreamRequest, StreamState
    from workflows import steps
    from workflows.common import APPLICATION, TENANT_ID

SETTLE_S = 3
"""Rounds start so long after a full interval: the newest period has then closed, and its last lines have arrived."""


@workflow.defn(name="TelemetryStream")
class TelemetryStream:
    """Id `stream/{tenant}/{application}`. The cursor lives here; a new run finds it in the store's coverage."""

    @workflow.init
    def __init__(self, request: StreamRequest) -> None:
        self._request = request
        self._state = request.state
        self._changed = False

    @workflow.query
    def state(self) -> StreamState | None:
        """How far it has come; None before the first round."""
        return self._state

    @workflow.signal
    def configure(self, request: StreamRequest) -> None:
        """Go on with another interval, period, sampling rate or application entry."""
        wanted = request.model_copy(update={"state": None})
        self._changed = wanted != self._request.model_copy(update={"state": None})
        self._request = wanted

    @workflow.run
    async def run(self, request: StreamRequest) -> None:
        application = request.application
        workflow.upsert_search_attributes(
            [TENANT_ID.value_set(application.tenant_id), APPLICATION.value_set(application.name)]
        )
        while True:
            if await self._round():
                await self._pause()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._request.model_copy(update={"state": self._state}))

    async def _round(self) -> bool:
        """Read and store what is new; True when nothing older is left to read."""
        done = await steps.STREAM(
            steps.StreamRound(request=self._request, state=self._state),
            tenant=self._request.application.tenant_id,
            summary=f"telemetry of {self._request.application.key}",
            activity_id="stream-cloudwatch",
        )
        self._state = done.state
        workflow.set_current_details(f"stored until {done.state.cursor:%Y-%m-%d %H:%M:%S} UTC")
        return done.caught_up

    async def _pause(self) -> None:
        """Until shortly after the next full interval, or until a change is asked for."""
        interval, now = self._request.interval_s, workflow.now()
        due = (math.floor((now.timestamp() - SETTLE_S) / interval) + 1) * interval + SETTLE_S
        wait = max(timedelta(0), datetime.fromtimestamp(due, UTC) - now)
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=wait)
        except TimeoutError:
            return
        self._changed = False
