"""Small changes of arguments that are likely to lead to a kind of error: one thing missing, empty, None, malformed."""

from __future__ import annotations

import ast
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Path = tuple[tuple[str, Any], ...]
    Change = Callable[[list[Any]], None]
_DEPTH = 6
_PLACES = 120
_QUOTED = re.compile(r"'([^']{0,80})'|\"([^\"]{0,80})\"")
_MALFORMED = ("", "abc", " ", "1.5", "12x", "none", "\u00e9\ud83d")
_MALFORMED_BYTES = (b"\xff", b"\xc3", b"")
_GENERIC: tuple[Any, ...] = (None, "", 0, [], {}, -1)


def perturbations(make: Callable[[], Any], hints: dict[str, Any]) -> Iterator[tuple[str, Change]]:
    """(name, change) pairs, the likely ones for the kind of error first.

    Args:
        make: Makes the arguments, as `(args, kwargs)`.
        hints: `error_type`, `message`, `parameters`: names of the positional ones, and `values`: pairs of a name and
            what stood under it in the logs.
    """
    try:
        args, kwargs = make()
    except Exception:  # noqa: BLE001 - arguments that cannot be made cannot be changed
        return
    places = list(_places([list(args), kwargs]))[:_PLACES]
    seen: set[str] = set()
    for label, change in (*_logged(places, hints), *_likely(places, hints), *_anything(places)):
        if label not in seen:
            seen.add(label)
            yield label, change


def _places(root: list[Any]) -> Iterator[tuple[Path, Any]]:
    """Every value within the arguments with the way to it, nearest first."""
    waiting: list[tuple[Path, Any]] = [((("item", 0), ("item", index)), each) for index, each in enumerate(root[0])]
    waiting += [((("item", 1), ("item", name)), each) for name, each in root[1].items()]
    known: set[int] = set()
    while waiting:
        path, value = waiting.pop(0)
        yield path, value
        if len(path) >= _DEPTH or id(value) in known:
            continue
        known.add(id(value))
        waiting += [((*path, step), inner) for step, inner in _inner(value)]


def _inner(value: Any) -> list[tuple[tuple[str, Any], Any]]:
    if isinstance(value, dict):
        return [(("item", key), each) for key, each in list(value.items())[:30]]
    if isinstance(value, list):
        return [(("item", index), each) for index, each in enumerate(value[:5])]
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict) and not isinstance(value, type):
        return [(("attribute", name), each) for name, each in list(held.items())[:30]]
    return []


def _likely(places: list[tuple[Path, Any]], hints: dict[str, Any]) -> Iterator[tuple[str, Change]]:
    kind, message = hints["error_type"], hints["message"]
    if kind == "KeyError":
        key = _literal(message)
        yield from _without(places, key)
        yield from _set_scalars(places, (key,) if key is not None else ())
        yield from _without(places, None)
    if kind in ("AttributeError", "TypeError"):
        yield from _set_all(places, (None,))
    if kind in ("ZeroDivisionError", "IndexError", "StopIteration", "StatisticsError", "ValueError"):
        yield from _emptied(places)
    if kind == "ZeroDivisionError":
        yield from _set_scalars(places, (0,))
    if kind in ("ValueError", "JSONDecodeError", "UnicodeDecodeError", "UnicodeEncodeError", "InvalidOperation"):
        quoted = tuple(first or second for first, second in _QUOTED.findall(message))
        yield from _set_scalars(places, (*quoted, *_MALFORMED))
        yield from _set_bytes(places)
    if kind == "IndexError":
        yield from _set_scalars(places, ("", "x", 99, -99))


def _anything(places: list[tuple[Path, Any]]) -> Iterator[tuple[str, Change]]:
    yield from _without(places, None)
    yield from _emptied(places)
    yield from _set_all(places, _GENERIC)
    yield from _set_scalars(places, _MALFORMED)


def _logged(places: list[tuple[Path, Any]], hints: dict[str, Any]) -> Iterator[tuple[str, Change]]:
    """What stood in the logs under a name that the arguments have too."""
    names = dict(enumerate(hints["parameters"]))
    for path, _ in places:
        own = names.get(path[1][1]) if path[0] == ("item", 0) and len(path) == 2 else path[-1][1]
        for name, value in hints["values"]:
            if own == name:
                yield f"{_text(path)} as logged: {value!r:.40}", _setter(path, value)


def _without(places: list[tuple[Path, Any]], key: Any) -> Iterator[tuple[str, Change]]:
    for path, value in places:
        if isinstance(value, dict):
            for each in list(value)[:30]:
                if key is None or each == key:
                    yield f"{_text(path)} without {each!r:.40}", _remover(path, each)


def _emptied(places: list[tuple[Path, Any]]) -> Iterator[tuple[str, Change]]:
    for path, value in places:
        if isinstance(value, (list, dict, set, tuple, str, bytes)) and value:
            yield f"{_text(path)} empty", _setter(path, type(value)())
            if isinstance(value, (list, tuple, str)) and len(value) > 1:
                yield f"{_text(path)} with one item", _setter(path, value[:1])


def _set_all(places: list[tuple[Path, Any]], values: tuple[Any, ...]) -> Iterator[tuple[str, Change]]:
    for each in values:
        for path, value in places:
            if value is not each:
                yield f"{_text(path)} as {each!r:.40}", _setter(path, each)


def _set_scalars(places: list[tuple[Path, Any]], values: tuple[Any, ...]) -> Iterator[tuple[str, Change]]:
    for each in values:
        for path, value in places:
            if isinstance(value, (str, int, float)) and (type(value) is not type(each) or value != each):
                yield f"{_text(path)} as {each!r:.40}", _setter(path, each)


def _set_bytes(places: list[tuple[Path, Any]]) -> Iterator[tuple[str, Change]]:
    for each in _MALFORMED_BYTES:
        for path, value in places:
            if isinstance(value, bytes) and value != each:
                yield f"{_text(path)} as {each!r}", _setter(path, each)


def _text(path: Path) -> str:
    steps = path[1:] if path[0] == ("item", 0) else path
    first = f"argument {steps[0][1]}" if path[0] == ("item", 0) else f"argument {path[1][1]!r}"
    rest = path[2:]
    return first + "".join(f".{name}" if kind == "attribute" else f"[{name!r:.40}]" for kind, name in rest)


def _setter(path: Path, value: Any) -> Change:
    def change(root: list[Any]) -> None:
        holder = _reach(root, path[:-1])
        kind, name = path[-1]
        if kind == "attribute":
            object.__setattr__(holder, name, value)
        else:
            holder[name] = value

    return change


def _remover(path: Path, key: Any) -> Change:
    def change(root: list[Any]) -> None:
        del _reach(root, path)[key]

    return change


def _reach(root: Any, path: Path) -> Any:
    for kind, name in path:
        root = getattr(root, name) if kind == "attribute" else root[name]
    return root


def _literal(message: str) -> Any:
    """The key of a KeyError from its message."""
    try:
        return ast.literal_eval(message)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return message or None
