"""Calls functions with given arguments and tells what came of it, in texts that two processes can compare.

Run as `python FOLDER/replay.py FOLDER`. The worker compares; nothing here knows the other version's answers.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import io
import pickle
import random
import sys
import time
from functools import partial
from itertools import islice

from calling import ITEMS, Caller, Limits, Stopped, Waiting, settled  # type: ignore[import-not-found]
from canonical import Canonical  # type: ignore[import-not-found]
from channel import Channel, extend_path  # type: ignore[import-not-found]
from values import build, build_all, spoil, vary  # type: ignore[import-not-found]

for _name in ("calling", "canonical", "channel", "values"):
    # The application may have modules of these names.
    del sys.modules[_name]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Case = tuple[str, Callable[[], tuple[Any, ...]]]
_CPU_TIME = time.thread_time
_STDOUT = sys.stdout
_EMPTY = (list, tuple, dict, set, frozenset)
_OUTSIDE = (TypeError, AttributeError)


class Replay:
    """Runs the cases of one function until its time is used up."""

    def __init__(self, plan: dict[str, Any], function: dict[str, Any]) -> None:
        self._function = function
        self._hidden = frozenset(function["hidden"])
        self._canonical = Canonical(self._hidden)
        self._limits = Limits(plan["call_s"])
        self._budget_s = plan["function_s"]
        self._caller = Caller(function)

    def run(self) -> dict[str, Any]:
        """What came of every case that was reached, and the state of the module at the end."""
        started = _CPU_TIME()
        found: dict[str, Any] = {}
        for name, make in self._cases():
            if _CPU_TIME() - started > self._budget_s:
                break
            found[name] = self._case(make)
        return {"cases": found, "state": self._state()}

    def _cases(self) -> Iterator[Case]:
        recorded = [base64.b64decode(each) for each in self._function["recorded"]]
        for index, pickled in enumerate(recorded):
            yield f"recorded {index}", partial(_recorded, pickled)
        generated = iter(enumerate(self._function["generated"]))
        for turn in range(self._function["varied"]):
            for index, pickled in enumerate(recorded):
                seed = f"{self._function['seed']} {index} {turn}"
                yield f"varied {index}.{turn}", partial(_varied, pickled, seed)
            for index, spec in islice(generated, max(4, len(recorded))):
                yield f"generated {index}", partial(_generated, spec)
        for index, spec in generated:
            yield f"generated {index}", partial(_generated, spec)

    def _case(self, make: Callable[[], tuple[Any, ...]]) -> dict[str, Any]:
        try:
            args, kwargs, before = make()
            steps = {"arguments": self._canonical.text((make()[:2], len(before))), "empty": _has_empty(args, kwargs)}
        except Exception as error:  # noqa: BLE001 - constructors of the application
            return {"unusable": type(error).__name__}
        self._prepare(args, before)
        result = self._step("first", steps, args, kwargs)
        if "first" in steps and steps["first"].startswith("stopped"):
            return steps
        if not self._function["shared"] and self._spoils(result):
            steps["arguments after the result was changed"] = self._canonical.text((args, kwargs))
        again, named, before = make()
        self._prepare(again, before)
        self._step("second", steps, again, named)
        if self._spoils((*args, *kwargs.values())):
            self._step("third", steps, args, kwargs)
        return steps

    def _step(self, name: str, steps: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = None
        sys.stdout = printed = io.StringIO()
        started = _CPU_TIME()
        try:
            self._limits.start()
            try:
                result = self._caller.call(args, kwargs)
                iterates = hasattr(type(result), "__next__")
                result = list(islice(result, ITEMS)) if iterates else result
                text = "iterates " if iterates else "returned "
            finally:
                self._limits.end()
            text += self._canonical.text(result)
        except Stopped:
            text = "stopped"
        except _OUTSIDE as error:
            text = f"refused {type(error).__name__}"
        except BaseException as error:  # noqa: BLE001 - whatever the application raises is its answer
            text = f"raised {type(error).__module__}.{type(error).__qualname__}"
        sys.stdout = _STDOUT
        steps[name] = text
        steps[f"{name}, printed"] = self._canonical.text(printed.getvalue())
        steps[f"{name}, arguments after"] = self._canonical.text((args, kwargs))
        steps.setdefault("cpu_s", round(_CPU_TIME() - started, 4))
        return result

    def _prepare(self, args: tuple[Any, ...], before: list[Any]) -> None:
        for name, positional in before:
            try:
                self._limits.start()
                settled(getattr(args[0], name)(*build_all(positional)))
            except Exception:  # noqa: BLE001 - leads to some state, which is what matters
                continue
            finally:
                self._limits.end()

    def _spoils(self, value: Any) -> bool:
        try:
            return bool(spoil(value, self._hidden))
        except Exception:  # noqa: BLE001 - objects of the application may refuse
            return False

    def _state(self) -> str:
        module = importlib.import_module(self._function["module"])
        held = {name: getattr(module, name, None) for name in self._function["globals"]}
        return self._canonical.text({name: item for name, item in held.items() if not inspect.isroutine(item)})  # type: ignore[no-any-return]


def _has_empty(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """`yes` where one of several arguments is empty, so that the others may not have been looked at."""
    values = [*args, *kwargs.values()]
    return "yes" if len(values) > 1 and any(type(each) in _EMPTY and not each for each in values) else ""


def _recorded(pickled: bytes) -> tuple[Any, ...]:
    args, kwargs = pickle.loads(pickled)
    return args, kwargs, []


def _varied(pickled: bytes, seed: str) -> tuple[Any, ...]:
    rng = random.Random(seed)
    args, kwargs = pickle.loads(pickled)
    named = sorted(kwargs)
    items = [*args, *(kwargs[name] for name in named)]
    for _ in range(rng.choice((1, 1, 2)) if items else 0):
        place = rng.randrange(len(items))
        items[place] = vary(items[place], rng)
    return tuple(items[: len(args)]), {name: items[len(args) + place] for place, name in enumerate(named)}, []


def _generated(spec: dict[str, Any]) -> tuple[Any, ...]:
    named = {name: build(item) for name, item in spec["named"].items()}
    return tuple(build_all(spec["positional"])), named, spec["before"]


def main() -> None:
    """Go through the functions and send what came of each."""
    channel = Channel(sys.argv[1])
    extend_path(channel.plan["paths"])
    Waiting()
    for function in channel.plan["functions"]:
        try:
            found = Replay(channel.plan, function).run()
        except Exception as error:  # noqa: BLE001 - importing the application may raise anything
            found = {"problem": f"{type(error).__name__}: {error}"[:300]}
        channel.send({"key": function["key"], "found": found})
    channel.end()


main()
