"""Looks for arguments with which a function raises a reported error, or tries given ones again.

Run as `python FOLDER/reproduce.py FOLDER`. Cases have names; the same name means the same arguments in each version.
"""

from __future__ import annotations

import base64
import builtins
import os
import pickle
import sys
import time
from itertools import islice

from calling import ITEMS, Caller, Limits, Stopped, Waiting  # type: ignore[import-not-found]
from canonical import Canonical  # type: ignore[import-not-found]
from channel import Channel, extend_path  # type: ignore[import-not-found]
from perturb import perturbations  # type: ignore[import-not-found]
from values import build, build_all  # type: ignore[import-not-found]

for _name in ("calling", "canonical", "channel", "perturb", "values"):
    # The application may have modules of these names.
    del sys.modules[_name]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Make = Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]
_CPU_TIME = time.process_time
_MESSAGE = 300


def _cases(plan: dict[str, Any]) -> Iterator[tuple[str, Make]]:
    """Calls as they were recorded or made up, then each with one thing changed, the likely changes first."""
    function = plan["function"]
    roots: list[tuple[str, Make]] = []
    for index, text in enumerate(function["recorded"]):
        roots.append((f"recorded {index}", _unpickled(base64.b64decode(text))))
    for index, spec in enumerate(function["generated"]):
        roots.append((f"made up {index}", _built(spec)))
    yield from roots
    turns = [(name, make, perturbations(make, plan["hints"])) for name, make in roots]
    while turns:
        left = []
        for name, make, rest in turns:
            found = list(islice(rest, 40))
            for label, change in found:
                yield f"{name}: {label}", _changed(make, change)
            if found:
                left.append((name, make, rest))
        turns = left


def _unpickled(pickled: bytes) -> Make:
    def make() -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = pickle.loads(pickled)
        return args, kwargs

    return make


def _built(spec: dict[str, Any]) -> Make:
    def make() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(build_all(spec["positional"])), {name: build(each) for name, each in spec["named"].items()}

    return make


def _changed(make: Make, change: Any) -> Make:
    def changed() -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = make()
        positional = list(args)
        change([positional, kwargs])
        return tuple(positional), kwargs

    return changed


class _Control:
    """Raises an error of the reported kind, or a ValueError, with a text of the plan."""

    def __init__(self, plan: dict[str, str]) -> None:
        self._kind, self._message = plan["kind"], plan["message"]

    def call(self, *_: object) -> None:
        raise getattr(builtins, self._kind)(self._message)


class Trial:
    """Calls the function and says how it ended."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._caller: Any = Caller(plan["function"])
        self._control: Any = _Control(plan["control"])
        self._limits = Limits(plan["call_s"])
        self._canonical = Canonical(frozenset(plan["function"]["hidden"]))
        self._root = os.getcwd() + os.sep

    def run_control(self) -> dict[str, Any]:
        """What `run` makes of a call whose end is known: code that answers for the application gets it wrong."""
        self._caller, self._control = self._control, self._caller
        try:
            return self.run(lambda: ((), {}))
        finally:
            self._caller, self._control = self._control, self._caller

    def run(self, make: Make) -> dict[str, Any]:
        """The answer in a text that two processes can compare, or the error with the place in the application."""
        try:
            args, kwargs = make()
        except Exception as error:  # noqa: BLE001 - constructors and changes of the application's objects
            return {"unusable": type(error).__name__}
        try:
            self._limits.start()
            try:
                result = self._caller.call(args, kwargs)
                result = list(islice(result, ITEMS)) if hasattr(type(result), "__next__") else result
            finally:
                self._limits.end()
            return {"returned": self._canonical.text(result)}
        except Stopped:
            return {"stopped": True}
        except BaseException as error:  # noqa: BLE001 - whatever the application raises is its answer
            return self._raised(error)

    def _raised(self, error: BaseException) -> dict[str, Any]:
        place = {"path": "", "function": "", "line": 0}
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            file = os.path.abspath(code.co_filename)
            if file.startswith(self._root) and not file[len(self._root) :].startswith(".selfbuild-"):
                place = {"path": file[len(self._root) :], "function": code.co_name, "line": trace.tb_lineno}
            trace = trace.tb_next
        kinds = [each.__name__ for each in type(error).__mro__]
        return {"raised": kinds[0], "kinds": kinds[:-1], "message": str(error)[:_MESSAGE], **place}


def main() -> None:
    """Send what came of every case asked for, until the time is used up."""
    channel = Channel(sys.argv[1])
    plan = channel.plan
    extend_path(plan["paths"])
    Waiting()
    wanted = plan["only"] and set(plan["only"])
    try:
        trial = Trial(plan)
    except Exception as error:  # noqa: BLE001 - importing the application may raise anything
        channel.send({"problem": f"{type(error).__name__}: {error}"[:_MESSAGE]})
        channel.end()
        return
    started, budget_s = _CPU_TIME(), plan["budget_s"]
    control, sent = plan["control"], 0
    for name, make in islice(_cases(plan), plan["most"]):
        if _CPU_TIME() - started > budget_s:
            break
        if wanted is None or name in wanted:
            if sent == control["place"]:
                channel.send({"case": control["name"], "found": trial.run_control()})
            sent += 1
            channel.send({"case": name, "found": trial.run(make)})
    if sent <= control["place"]:
        channel.send({"case": control["name"], "found": trial.run_control()})
    channel.end()


main()
