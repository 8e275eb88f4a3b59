"""One text for a value, the same in every process: types, order, signs of zero and the content of objects count.

Addresses do not. An iterator is used up; sets are written in the order of their elements' texts.
"""

from __future__ import annotations

import hashlib
import re
import types
from collections import OrderedDict, defaultdict, deque
from enum import Enum
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_NODES = 20_000
_ITEMS = 2_000
_SHOWN = 240
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_ATOMS = (int, float, complex, str, bytes, bytearray, type(None), type(Ellipsis), type(NotImplemented))
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, types.ModuleType)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class Canonical:
    """Writes values; attributes of the given names are passed over."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        self._hidden = frozenset(hidden)
        self._left = 0
        self._above: set[int] = set()

    def text(self, value: Any) -> str:
        """The value's text; a long one ends in a digest of all of it."""
        self._left = _NODES
        self._above = set()
        try:
            whole = self._write(value)
        except RecursionError:
            whole = f"deep {_name(type(value))}"
        if len(whole) <= _SHOWN:
            return whole
        digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{whole[:_SHOWN]}… {digest}"

    def _write(self, value: Any) -> str:
        self._left -= 1
        if self._left < 0:
            return "…"
        kind = type(value)
        if kind in _ATOMS or kind is bool:
            return f"{value!r}"
        if isinstance(value, _CODE):
            return f"<{_name(kind)} {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}>"
        if id(value) in self._above:
            return "<itself>"
        self._above.add(id(value))
        try:
            return self._composite(value, kind)
        finally:
            self._above.discard(id(value))

    def _composite(self, value: Any, kind: type) -> str:
        for types_, writer in _WRITERS:
            if isinstance(value, types_):
                inner: str = writer(self, value)
                return inner if kind in _PLAIN else f"{_name(kind)}({inner}{self._attributes(value)})"
        if hasattr(kind, "__next__"):
            return f"<iterator {self._many(islice(value, _ITEMS))}>"
        return self._object(value, kind)

    def _many(self, values: Iterable[Any]) -> str:
        return ", ".join([self._write(each) for each in values])

    def _sequence(self, value: Any) -> str:
        ends = "[]" if isinstance(value, (list, deque)) else "()"
        return f"{ends[0]}{self._many(value)}{ends[1]}"

    def _set(self, value: Any) -> str:
        return f"{{{', '.join(sorted(self._write(each) for each in value))}}}"

    def _mapping(self, value: Any) -> str:
        pairs = list(value.items()) if type(value) is dict else list(dict.items(value))
        return "{" + ", ".join(f"{self._write(key)}: {self._write(item)}" for key, item in pairs) + "}"

    def _enum(self, value: Any) -> str:
        return str(value.name)

    def _exception(self, value: Any) -> str:
        return self._many(value.args)

    def _view(self, value: Any) -> str:
        return self._many(value)

    def _attributes(self, value: Any) -> str:
        names = getattr(value, "__dict__", None)
        if not isinstance(names, dict):
            return ""
        shown = {name: item for name, item in names.items() if name not in self._hidden}
        return "".join(f"; {name}={self._write(item)}" for name, item in sorted(shown.items())) if shown else ""

    def _object(self, value: Any, kind: type) -> str:
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        if kind.__module__ in _REPRESENTED or not (slots or hasattr(value, "__dict__")):
            return f"{_name(kind)}({_ADDRESS.sub('0x', repr(value))})"
        held = "".join(
            f"; {name}={self._write(getattr(value, name))}"
            for name in sorted(slots)
            if hasattr(value, name) and name not in self._hidden
        )
        return f"{_name(kind)}({held}{self._attributes(value)})"


def _slots(kind: type) -> list[str]:
    names = kind.__dict__.get("__slots__", ())
    names = [names] if isinstance(names, str) else list(names)
    private = f"_{kind.__name__.lstrip('_')}"
    found = [private + name if name.startswith("__") and not name.endswith("__") else name for name in names]
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


_REPRESENTED = {"datetime", "decimal", "fractions", "uuid", "pathlib", "re", "ipaddress", "zoneinfo", "_decimal"}
_PLAIN = (list, tuple, dict)
_WRITERS: tuple[tuple[Any, Callable[[Canonical, Any], str]], ...] = (
    (Enum, Canonical._enum),
    ((OrderedDict, defaultdict, dict), Canonical._mapping),
    ((list, tuple, deque, range), Canonical._sequence),
    ((set, frozenset), Canonical._set),
    (_VIEWS, Canonical._view),
    (BaseException, Canonical._exception),
    (_ATOMS, lambda _, value: _ADDRESS.sub("0x", repr(value))),
)
