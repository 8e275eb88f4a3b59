"""Makes values from the worker's descriptions of them, and changes values: in place, or a little for another case."""

from __future__ import annotations

import builtins
import collections
import importlib
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from typing import Any

_DEPTH = 4


def build(spec: Any) -> Any:
    """The value a description stands for; scalars stand for themselves."""
    if isinstance(spec, dict):
        ((name, inner),) = spec.items()
        return _BUILDERS[name](inner)
    return spec


def build_all(specs: list[Any]) -> list[Any]:
    """Each of them."""
    return [build(each) for each in specs]


def find(module: str, name: str) -> Any:
    """An object of a module by its qualified name."""
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _make(inner: list[Any]) -> Any:
    module, name, positional, named = inner
    return find(module, name)(*build_all(positional), **{key: build(item) for key, item in named.items()})


def _standard(inner: list[Any]) -> Any:
    module, name, arguments = inner
    return getattr(importlib.import_module(module), name)(*arguments)


_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "list": build_all,
    "tuple": lambda inner: tuple(build_all(inner)),
    "set": lambda inner: set(build_all(inner)),
    "frozenset": lambda inner: frozenset(build_all(inner)),
    "deque": lambda inner: collections.deque(build_all(inner)),
    "iter": lambda inner: iter(build_all(inner)),
    "dict": lambda inner: {build(key): build(item) for key, item in inner},
    "bytes": lambda inner: inner.encode("latin-1"),
    "builtin": lambda inner: getattr(builtins, inner),
    "member": lambda inner: list(find(inner[0], inner[1]))[inner[2] % len(list(find(inner[0], inner[1])))],
    "make": _make,
    "class": lambda inner: find(*inner),
    "standard": _standard,
}


def spoil(value: Any, hidden: frozenset[str], depth: int = 0) -> bool:
    """Change a mutable value in place, as a caller may, but no hidden attribute; whether anything could be changed."""
    if isinstance(value, list):
        value.append(value[0] if value else 1)
        return True
    if isinstance(value, dict):
        value.pop(next(iter(value))) if value else value.update(added=1)
        return True
    if isinstance(value, set):
        value.pop() if value else value.add(1)
        return True
    if isinstance(value, (collections.deque, bytearray)):
        value.extend(list(value)[:1] or [1])
        return True
    if isinstance(value, tuple):
        return depth < _DEPTH and True in [spoil(each, hidden, depth + 1) for each in value]
    return _spoil_object(value, hidden, depth)


def _spoil_object(value: Any, hidden: frozenset[str], depth: int) -> bool:
    held = getattr(value, "__dict__", None)
    if not isinstance(held, dict) or isinstance(value, (type, BaseException)) or callable(value) or depth >= _DEPTH:
        return False
    changed = False
    for name, item in sorted(held.items()):
        if name in hidden:
            continue
        if type(item) in (int, float):
            held[name] = item + 1
            changed = True
        elif type(item) is str:
            held[name] = item + "x"
            changed = True
        elif spoil(item, hidden, depth + 1):
            changed = True
    return changed


def vary(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """A value of the same shape with something changed; the argument itself may be changed too."""
    kind = type(value)
    if kind in _SCALARS:
        return rng.choice(_SCALARS[kind](value))
    if depth > _DEPTH:
        return value
    if kind in (list, tuple, collections.deque):
        return kind(_vary_items(list(value), rng, depth))
    if kind in (set, frozenset):
        items = sorted(value, key=repr)
        return kind(items[1:] if rng.random() < 0.5 else [*items, *(vary(each, rng, depth + 1) for each in items[:1])])
    if isinstance(value, dict) and value:
        _vary_mapping(value, rng, depth)
    else:
        _vary_object(value, rng, depth)
    return value


def _vary_items(items: list[Any], rng: random.Random, depth: int) -> list[Any]:
    how = rng.randrange(7)
    if how == 0 or not items:
        return []
    if how == 1:
        return [*items, rng.choice(items)]
    if how == 2:
        return items[::-1]
    if how == 3:
        return items * 2
    if how == 4:
        return items[1:]
    place = rng.randrange(len(items))
    items[place] = vary(items[place], rng, depth + 1)
    return items


def _vary_mapping(value: dict[Any, Any], rng: random.Random, depth: int) -> None:
    key = rng.choice(sorted(value, key=repr))
    how = rng.randrange(4)
    if how == 0:
        value[key] = value.pop(key)
    elif how == 1:
        del value[key]
    else:
        value[key] = vary(value[key], rng, depth + 1)


def _vary_object(value: Any, rng: random.Random, depth: int) -> None:
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict) and held and not isinstance(value, type) and not callable(value):
        name = rng.choice(sorted(held))
        held[name] = vary(held[name], rng, depth + 1)


_SCALARS: dict[type, Callable[[Any], list[Any]]] = {
    bool: lambda value: [not value],
    int: lambda value: [value + 1, value - 1, -value, 0, 1, value * 10 if abs(value) < 10_000 else value // 2],
    float: lambda value: [-value, 0.0, -0.0, value + 0.01, value * 2, math.nan],
    str: lambda value: ["", value + value[:1], value.upper(), value[1:], f" {value}", value + "ß", value[::-1]],
    bytes: lambda value: [b"", value[1:], value + b"\x00"],
}


def grow(value: Any, times: int, depth: int = 0) -> Any:
    """A value of the same shape with so many times the elements, their scalars made different."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset, collections.deque):
        return kind([_shifted(each, turn) for turn in range(times) for each in value])
    if kind is dict:
        if (
            value
            and all(type(key) in (str, int) for key in value)
            and len({type(each) for each in value.values()}) == 1
        ):
            return {_shifted(key, turn): item for turn in range(times) for key, item in value.items()} | value
        return value
    if kind is str and depth == 0:
        return value * times
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict) and depth < 1 and not isinstance(value, type) and not callable(value):
        for name, item in sorted(held.items()):
            held[name] = grow(item, times, depth + 1)
    return value


def _shifted(value: Any, turn: int) -> Any:
    if turn == 0:
        return value
    if type(value) is int:
        return value + 1_000 * turn
    if type(value) is str:
        return f"{value}{turn}"
    if type(value) is tuple:
        return tuple(_shifted(each, turn) for each in value)
    return value
