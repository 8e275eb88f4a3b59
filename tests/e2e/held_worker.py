"""The real worker, held once in each step named by HOLD_STEPS: when its effect is there and its completion is not.

That is the worst moment to be killed. The hold writes HOLD_FOLDER/STEP and waits for the end; a worker that finds the
file goes on.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

sys.path.insert(0, str(Path(__file__).parents[2]))

import worker
from selfbuild.leave import leave


class Hold(Interceptor):
    """Holds each named step once."""

    def __init__(self, steps: set[str], folder: Path) -> None:
        self._steps = steps
        self._folder = folder

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self._steps, self._folder)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, steps: set[str], folder: Path) -> None:
        super().__init__(next)
        self._steps = steps
        self._folder = folder

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        result = await self.next.execute_activity(input)
        step = activity.info().activity_type
        marker = self._folder / step
        if step in self._steps and not marker.exists():
            marker.touch()
            await asyncio.Event().wait()
        return result


if __name__ == "__main__":
    hold = Hold(set(os.environ["HOLD_STEPS"].split(",")), Path(os.environ["HOLD_FOLDER"]))
    leave(worker.main([], interceptors=[hold]))
