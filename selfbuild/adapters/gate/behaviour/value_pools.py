"""Values of an annotation, the plainest first: ends, duplicates, signs, and what lies around constants of a source."""

import ast
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from selfbuild.adapters.gate.behaviour.usage import ANYTHING, Shape

_LONGEST = 200
_DEPTH = 3
_INTEGERS = (1, 2, 0, 3, True, -1, 5, 10, 7, 12, 100, -7, 1_000_003)
_FLOATS = ("1.5", "2.0", "0.0", "-0.0", "0.1", "-1.5", "100.0", "nan", "inf", "1e-9", "1e16")
_TEXTS = ("a", "ab", "", "Hello World", "b", "  x ", "a,b", "äö ß", "1", "-5", "A", "aab", "a b\nc", "İ")
_STANDARD: dict[str, tuple[Any, ...]] = {
    "datetime": tuple(
        ("datetime", "datetime", arguments)
        for arguments in ([2024, 2, 29, 12], [2023, 12, 31, 23, 59, 59], [2024, 1, 1])
    ),
    "date": tuple(
        ("datetime", "date", arguments) for arguments in ([2024, 2, 29], [2023, 12, 31], [2024, 3, 1], [1900, 3, 1])
    ),
    "timedelta": tuple(("datetime", "timedelta", arguments) for arguments in ([1], [0], [0, 3599], [-1], [0, 60])),
    "Decimal": tuple(("decimal", "Decimal", [text]) for text in ("1.50", "0", "-0.00", "2.675", "100", "1E+3")),
    "Fraction": tuple(("fractions", "Fraction", arguments) for arguments in ([1, 3], [0], [-5, 2])),
    "Path": tuple(("pathlib", "PurePosixPath", [text]) for text in ("a/b.txt", "", "/x/../y")),
    "UUID": (("uuid", "UUID", ["12345678123456781234567812345678"]),),
}
_MANY = frozenset(["list", "List", "Sequence", "Iterable", "Iterator", "Collection", "MutableSequence", "Generator"])
_ONCE = frozenset(["Iterable", "Iterator", "Generator"])
_MAPPINGS = frozenset(["dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"])
_WRAPPERS = frozenset(["Final", "Annotated", "ClassVar", "Required", "NotRequired"])


@dataclass(frozen=True)
class Constants:
    """What a source names itself."""

    integers: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[ast.AST]) -> "Constants":
        """Those in the nodes, docstrings left out."""
        values: dict[tuple[type, object], Any] = {}
        for node in nodes:
            described = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
            for each in ast.walk(node):
                if isinstance(each, ast.Constant) and id(each) not in described:
                    values.setdefault((type(each.value), each.value), each.value)
        found = list(values.values())
        return cls(
            tuple(value for value in found if type(value) is int)[:12],
            tuple(value for value in found if type(value) is float)[:8],
            tuple(value for value in found if type(value) is str and len(value) <= _LONGEST)[:12],
        )


class Pools:
    """Makes pools for the annotations of one file."""

    def __init__(self, module: str, tree: ast.Module, constants: Constants, rng: random.Random) -> None:
        self._module = module
        self._constants = constants
        self._rng = rng
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._aliases = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        self._simple: dict[str, Callable[[], list[Any]]] = {
            "int": self.integers,
            "float": lambda: [*self.floats(), *self.integers()[:3]],
            "complex": self.floats,
            "str": self.texts,
            "bool": lambda: [True, False],
            "bytes": lambda: [{"bytes": text} for text in ("a", "", "\x00ÿ", "a b")],
            "None": lambda: [None],
            "Any": self.anything,
            "object": self.anything,
            "Hashable": lambda: [*self.integers()[:5], *self.texts()[:5], None],
            "Callable": lambda: [{"builtin": name} for name in ("str", "len", "repr", "abs")],
        }

    def of(self, annotation: ast.expr, depth: int = 0) -> list[Any] | None:
        """Values of it; None where it is not understood."""
        if isinstance(annotation, ast.Constant):
            if isinstance(annotation.value, str):
                return self._parsed(annotation.value, depth)
            return [None] if annotation.value is None else None
        if isinstance(annotation, ast.BinOp):
            return self._union([annotation.left, annotation.right], depth)
        if isinstance(annotation, ast.Attribute):
            return self._named(annotation.attr, depth)
        if isinstance(annotation, ast.Name):
            return self._named(annotation.id, depth)
        if isinstance(annotation, ast.Subscript):
            inner = annotation.slice
            arguments = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
            name = (
                annotation.value.attr if isinstance(annotation.value, ast.Attribute) else ast.unparse(annotation.value)
            )
            return self._generic(name, arguments, depth)
        return None

    def of_shape(self, shape: Shape) -> list[Any]:
        """Values of what a parameter seems to be."""
        if shape == ("list", ANYTHING):
            kinds = [self._several(each) for each in (self.integers(), self.texts())]
            odd: list[list[Any]] = [[{"list": [1]}, {"list": [1]}], [1, True, {"float": "1.0"}], [1, "a", None]]
            return [{"list": each} for each in (*kinds[0][:6], *kinds[1][:6], *odd, *kinds[0][6:], *kinds[1][6:])]
        if isinstance(shape, tuple):
            elements = self.of_shape(shape[1])
            return [{"list": each} for each in self._several(elements)]
        texts = [[{"dict": [[key, item]]}] for key, item in zip(self.texts(), self.integers(), strict=False)]
        made: dict[str, Callable[[], list[Any]]] = {
            "integer": self.integers,
            "number": lambda: [*self.integers()[:4], *self.floats()],
            "text": self.texts,
            "truth": lambda: [True, False],
            "mapping": lambda: [{"dict": []}, *(each for (each,) in texts), *self._records()],
        }
        return made.get(shape, self.anything)()

    def integers(self) -> list[Any]:
        """Small ones, the constants and their neighbours, large ones."""
        near = [value + step for value in self._constants.integers for step in (0, 1, -1)]
        return _distinct([*_INTEGERS[:4], *near, *_INTEGERS[4:], *(-value for value in self._constants.integers)])

    def floats(self) -> list[Any]:
        """As `integers`; both zeros and what is no number."""
        near = [value + step for value in self._constants.floats for step in (0, 0.01, -0.01)]
        near += [float(value) for value in self._constants.integers if abs(value) < 1 << 53]
        return [{"float": text} for text in _distinct([*_FLOATS[:2], *map(repr, near), *_FLOATS[2:]])]

    def texts(self) -> list[Any]:
        """Short ones, the constants and what contains them."""
        own = self._constants.texts
        mixed = [f"{one}{other}" for one, other in pairwise(own)]
        around = [form for text in own for form in (text, f"a{text}b", f"{text}{text}", text.upper())]
        lengths = [("ab" * value)[:value] for value in self._near_sizes()]
        return _distinct([*_TEXTS[:4], *around[:32], *_TEXTS[4:], *mixed, *lengths])

    def anything(self) -> list[Any]:
        """Of every kind, some of them not hashable."""
        lists = [{"list": []}, {"list": [1, 2, 2]}, {"list": ["b", "a", "b"]}, {"list": [{"list": [1]}, {"list": [1]}]}]
        others = [{"dict": [["a", 1]]}, {"tuple": [1, "a"]}, {"float": "1.0"}, True, {"float": "-0.0"}, None]
        return [*self.integers()[:4], *self.texts()[:5], *lists, *others, *self.integers()[4:10]]

    def constant(self, node: ast.expr) -> list[Any]:
        """The value of a default, where it is a plain one."""
        if isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (int, str, bool)):
            return [node.value]
        if isinstance(node, ast.Constant) and type(node.value) is float:
            return [{"float": repr(node.value)}]
        return []

    def instances(self, name: str, depth: int = 0) -> list[Any]:
        """Objects of a class of the file; none where its parameters are not understood."""
        node = self._classes.get(name)
        if node is None or depth > _DEPTH:
            return []
        if _is_enum(node):
            return [{"member": [self._module, name, index]} for index in range(4)]
        fields = self._fields(node)
        if fields is None:
            return []
        pools: dict[str, list[Any]] = {}
        for field, annotation in fields:
            pools[field] = (self.of(annotation, depth + 1) if annotation else self.anything()) or []
        if not all(pools.values()):
            return []
        if any(_last(base) == "TypedDict" for base in node.bases):
            return [{"dict": [[field, pool[turn % len(pool)]] for field, pool in pools.items()]} for turn in range(8)]
        made = []
        for turn in range(24):
            named = {
                field: (pool[turn % len(pool)] if turn < 4 else self._rng.choice(pool)) for field, pool in pools.items()
            }
            made.append({"make": [self._module, name, [], named]})
        return made

    def _fields(self, node: ast.ClassDef) -> list[tuple[str, ast.expr | None]] | None:
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                own = [*each.args.args[1:], *each.args.kwonlyargs]
                return [(argument.arg, argument.annotation) for argument in own]
        bases = {_last(base) for base in node.bases}
        marks = {_last(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list}
        if "dataclass" in marks or bases & {"NamedTuple", "TypedDict", "BaseModel"}:
            own_fields = [
                each for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
            return [(ast.unparse(each.target), each.annotation) for each in own_fields if each.value is None]
        return [] if not node.bases else None

    def _parsed(self, text: str, depth: int) -> list[Any] | None:
        try:
            return self.of(ast.parse(text, mode="eval").body, depth)
        except SyntaxError:
            return None

    def _named(self, name: str, depth: int) -> list[Any] | None:
        if name in self._simple:
            return self._simple[name]()
        if name in _STANDARD:
            return [{"standard": list(each)} for each in _STANDARD[name]]
        if name in _MANY or name in _MAPPINGS or name in ("set", "frozenset", "tuple", "deque"):
            return self._generic(name, [], depth)
        if name in self._classes:
            return self.instances(name, depth) or None
        alias = self._aliases.get(name)
        if alias is not None and depth < _DEPTH:
            typed = isinstance(alias, ast.Call) and _last(alias.func) in ("TypeVar", "NewType")
            return self._simple["Hashable"]() if typed else self.of(alias, depth + 1)
        return None

    def _union(self, parts: Sequence[ast.expr], depth: int) -> list[Any] | None:
        pools = [pool for pool in (self.of(part, depth) for part in parts) if pool]
        longest = max(map(len, pools), default=0)
        return [pool[place] for place in range(longest) for pool in pools if place < len(pool)] or None

    def _generic(self, name: str, arguments: Sequence[ast.expr], depth: int) -> list[Any] | None:
        if name == "Optional":
            return self._union([*arguments, ast.Constant(None)], depth)
        if name == "Union":
            return self._union(arguments, depth)
        if name == "Literal":
            return [each.value for each in arguments if isinstance(each, ast.Constant)]
        if name in ("Callable", "type", "Type"):
            return self._simple["Callable"]()
        if name in _WRAPPERS:
            return self.of(arguments[0], depth)
        if depth > _DEPTH:
            return None
        if name in ("tuple", "Tuple") and arguments and not _is_ellipsis(arguments[-1]):
            return self._fixed(arguments, depth)
        pools = [self.of(each, depth + 1) or self.anything() for each in arguments if not _is_ellipsis(each)]
        return self._container(name, pools or [self.anything()])

    def _container(self, name: str, pools: list[list[Any]]) -> list[Any] | None:
        if name in _MAPPINGS:
            return self._mappings(pools[0], pools[-1] if len(pools) > 1 else self.anything())
        several = self._several(pools[0])
        kinds = {
            "set": "set",
            "Set": "set",
            "AbstractSet": "set",
            "frozenset": "frozenset",
            "tuple": "tuple",
            "deque": "deque",
        }
        if name in kinds:
            return [{kinds[name]: each} for each in several]
        if name in _ONCE:
            return [
                {("iter", "list", "tuple")[place % 3 if place > 2 else 1]: each} for place, each in enumerate(several)
            ]
        return [{"list": each} for each in several] if name in _MANY else None

    def _fixed(self, arguments: Sequence[ast.expr], depth: int) -> list[Any] | None:
        pools = [self.of(each, depth + 1) for each in arguments]
        if not all(pools):
            return None
        known = [pool for pool in pools if pool]
        longest = max(map(len, known))
        shifted = [
            [pool[(turn + 3 * place) % len(pool)] for place, pool in enumerate(known)] for turn in range(longest)
        ]
        mixed = [[self._rng.choice(pool[:8]) for pool in known] for _ in range(8)]
        return [{"tuple": each} for each in (*shifted, *mixed)]

    def _mappings(self, keys: list[Any], items: list[Any]) -> list[Any]:
        keys = [key for key in keys if not isinstance(key, dict) or ("list" not in key and "dict" not in key)]
        made: list[list[Any]] = [[]]
        for size in (1, 2, 3, 4, 5, 3, 4):
            chosen = _distinct(self._rng.choice(keys) for _ in range(size))
            made.append([[key, self._rng.choice(items[:12])] for key in chosen])
        return [{"dict": each} for each in made]

    def _records(self) -> list[Any]:
        texts = list(self._constants.texts)[:6]
        return [
            {"dict": [[key, self._rng.choice([*self.integers()[:6], "a"])] for key in texts]}
            for _ in range(6 if texts else 0)
        ]

    def _several(self, elements: list[Any]) -> list[list[Any]]:
        """Lists of the elements: none, one, duplicates, in and out of order, and as long as constants say."""
        first, few = elements[:3], elements[:10]
        made = [
            first,
            [],
            first[:1],
            [first[0], first[0]],
            [*first, *first[:1]],
            first[::-1],
            [*few],
            [*few[::-1], *few[:2]],
        ]
        for size in (4, 5, 6, 8, 3, 7):
            made.append([self._rng.choice(few) for _ in range(size)])
        made += [[self._rng.choice(elements) for _ in range(self._rng.randrange(2, 6))] for _ in range(10)]
        plain: list[Any] = [each for each in few if type(each) is int]
        plain = plain or [each for each in few if type(each) is str]
        made += [sorted(self._rng.choice(plain) for _ in range(size)) for size in (3, 5, 6, 8) if plain]
        made += [(few * size)[:size] for size in self._near_sizes()]
        return [each for place, each in enumerate(made) if each not in made[:place]]

    def _near_sizes(self) -> list[int]:
        return sorted(
            {value + step for value in self._constants.integers for step in (-1, 0, 1) if 8 < value + step <= _LONGEST}
        )


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(repr(value), value)
    return list(found.values())


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _last(node: ast.expr) -> str:
    return ast.unparse(node).partition("[")[0].rpartition(".")[2]


def _is_enum(node: ast.ClassDef) -> bool:
    return any(_last(base).endswith(("Enum", "Flag")) for base in node.bases)


__all__ = ["ANYTHING", "Constants", "Pools"]
