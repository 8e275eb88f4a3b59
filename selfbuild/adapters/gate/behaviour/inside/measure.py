"""Measures two versions of functions in turns: one process each, both beside this one, on the same arguments.

Run as `python FOLDER/measure.py FOLDER`; the trees are the folders `old` and `new`. Times are processor time.
"""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import pickle
import sys
import time

from calling import Caller, Limits, Stopped, Waiting  # type: ignore[import-not-found]
from channel import Channel, extend_path  # type: ignore[import-not-found]
from values import build, build_all, grow  # type: ignore[import-not-found]

for _name in ("calling", "channel", "values"):
    # The application may have modules of these names.
    del sys.modules[_name]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NS = time.thread_time_ns
"""Of the process it would be coarse: the kernel counts in ticks while a timer on processor time is set."""
_TURN_NS = 1_000_000
_LONG_NS = 20_000_000
_REPEATS = 200
_CALLS = 12
_SIZES = (1, 100, 10)
_TURNS = 3
"""Of each version in a round; the shortest one counts, since what else the machine does only adds time."""


class Version:
    """A process of its own that calls one version when told to."""

    def __init__(self, tree: str, plan: dict[str, Any]) -> None:
        asked, self._ask = os.pipe()
        self._answers, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            os.close(self._answers)
            os.chdir(tree)
            extend_path(plan["paths"])
            try:
                _serve(asked, answer, plan)
            finally:
                os._exit(1)
        os.close(asked)
        os.close(answer)
        self._reader = os.fdopen(self._answers, "rb")

    def ask(self, *question: object) -> Any:
        """What it answers; None where it ended."""
        try:
            os.write(self._ask, json.dumps(question).encode() + b"\n")
        except OSError:
            return None
        line = self._reader.readline()
        try:
            return json.loads(line) if line else None
        except ValueError:
            return None


def _serve(asked: int, answer: int, plan: dict[str, Any]) -> None:
    waiting, limits = Waiting(), Limits(plan["call_s"])
    write, dumps = os.write, json.JSONEncoder().encode
    sys.stdout = io.StringIO()
    gc.disable()
    with os.fdopen(asked, "rb") as questions:
        for line in questions:
            index, size, repeats = json.loads(line)
            waiting.asked_s = 0.0
            try:
                found: list[float] | None = [_turn(plan["functions"][index], size, repeats, limits), waiting.asked_s]
            except Stopped:
                found = None
            except Exception:  # noqa: BLE001 - a call that raises is not measured
                found = None
            write(answer, dumps(found).encode() + b"\n")


def _turn(function: dict[str, Any], size: int, repeats: int, limits: Any) -> int:
    """Nanoseconds of all calls, so many times; arguments are made beforehand."""
    caller = Caller(function)
    made = [each for _ in range(repeats) for each in _arguments(function, size)]
    used = 0
    limits.start()
    try:
        for args, kwargs in made:
            started = _NS()
            result = caller.call(args, kwargs)
            if hasattr(type(result), "__next__"):
                for _ in result:
                    pass
            used += _NS() - started
    finally:
        limits.end()
    return used


def _arguments(function: dict[str, Any], size: int) -> list[tuple[Any, Any]]:
    recorded = [pickle.loads(base64.b64decode(each)) for each in function["recorded"][:_CALLS]]
    if not recorded:
        recorded = [
            (tuple(build_all(each["positional"])), {name: build(item) for name, item in each["named"].items()})
            for each in function["generated"][:_CALLS]
        ]
    if size == 1:
        return recorded
    return [
        (tuple(grow(each, size) for each in args), {name: grow(each, size) for name, each in kwargs.items()})
        for args, kwargs in recorded[:3]
    ]


def _share_one_core() -> None:
    """Both versions are to find the same neighbours; they never run at the same time."""
    try:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[time.monotonic_ns() // 1000 % len(cores)]})
    except (AttributeError, OSError):
        return


def _round(old: Version, new: Version, question: tuple[int, int, int], turns: int) -> list[float]:
    """Nanoseconds and seconds waited for, of the old and of the new version; empty where one gave no answer."""
    times: list[list[list[float]]] = [[], []]
    order = [(old, times[0]), (new, times[1])]
    for _ in range(turns):
        order.reverse()
        for version, found in order:
            answer = version.ask(*question)
            if answer is None:
                return []
            found.append(answer)
    return [*min(times[0]), *min(times[1])]


def main() -> None:
    """Let both versions take turns and send the times of each round."""
    channel = Channel(sys.argv[1])
    plan = channel.plan
    _share_one_core()
    old, new = Version("old", plan), Version("new", plan)
    started = time.monotonic()
    for index, function in enumerate(plan["functions"]):
        for size in _SIZES:
            if time.monotonic() - started > plan["all_s"]:
                break
            first = old.ask(index, size, 1)
            warm = new.ask(index, size, 1)
            if first is None or warm is None:
                channel.send({"key": function["key"], "size": size, "rounds": [], "old_answers": first is not None})
                if first is None and size == 1:
                    break
                continue
            repeats = max(1, min(_REPEATS, int(_TURN_NS / max(1, first[0], warm[0]))))
            long = max(first[0], warm[0]) > _LONG_NS
            question = (index, size, repeats)
            rounds = [_round(old, new, question, 1 if long else _TURNS) for _ in range(5 if long else plan["rounds"])]
            rounds = [each for each in rounds if each]
            channel.send({"key": function["key"], "size": size, "rounds": rounds, "old_answers": True})
    channel.end()


main()
