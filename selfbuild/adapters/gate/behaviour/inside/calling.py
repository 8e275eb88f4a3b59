"""Calls functions of the application as their kinds want it, within limits and without waiting."""

from __future__ import annotations

import asyncio
import inspect
import signal
import time

from values import find  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ITEMS = 2_000
"""Most that is taken of an iterator."""


class Stopped(BaseException):
    """The call took too long."""


def _stop(*_: object) -> None:
    raise Stopped


class Limits:
    """Ends a call by an exception, by processor time, and by the clock where it only waits."""

    def __init__(self, call_s: float) -> None:
        self._call_s, self._timer = call_s, signal.setitimer
        signal.signal(signal.SIGPROF, _stop)
        signal.signal(signal.SIGALRM, _stop)

    def start(self) -> None:
        self._timer(signal.ITIMER_PROF, self._call_s)
        self._timer(signal.ITIMER_REAL, self._call_s * 8)

    def end(self) -> None:
        self._timer(signal.ITIMER_PROF, 0)
        self._timer(signal.ITIMER_REAL, 0)


class Caller:
    """Calls one function of the application as its kind wants it."""

    def __init__(self, function: dict[str, Any]) -> None:
        self._kind, self._name = function["kind"], function["name"].rpartition(".")[2]
        self._module, self._qualified = function["module"], function["name"]
        find(self._module, self._qualified)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._kind == "property":
            return getattr(args[0], self._name)
        if self._kind == "setter":
            return setattr(args[0], self._name, args[1])
        if self._kind in ("method", "classmethod"):
            name = self._name
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{self._qualified.split('.')[-2].lstrip('_')}{name}"
            return settled(getattr(args[0], name)(*args[1:], **kwargs))
        return settled(find(self._module, self._qualified)(*args, **kwargs))


def settled(value: Any) -> Any:
    """What an awaitable gives, or an asynchronous iterator's items; else the value itself."""
    if inspect.isawaitable(value):

        async def wait() -> Any:
            return await value

        return asyncio.run(wait())
    if inspect.isasyncgen(value):

        async def collect() -> list[Any]:
            found = []
            async for each in value:
                found.append(each)
                if len(found) >= ITEMS:
                    break
            return found

        return iter(asyncio.run(collect()))
    return value


class Waiting:
    """Stands for `time.sleep` and `asyncio.sleep` from here on, and adds up what was asked for."""

    def __init__(self) -> None:
        self.asked_s = 0.0
        briefly = asyncio.sleep

        def rest(seconds: float) -> None:
            self.asked_s += seconds

        async def rest_async(delay: float, result: object = None) -> object:
            self.asked_s += delay
            return await briefly(0, result)

        time.sleep, asyncio.sleep = rest, rest_async  # type: ignore[assignment]
