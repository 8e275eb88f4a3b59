"""Arguments to try a function with, from its annotations, its defaults, its use of them and the constants around it.

Values are descriptions that a program in the sandbox builds: scalars stand for themselves, everything else is a
mapping of one entry, such as `{"list": [1, 2]}`. The same text and seed give the same arguments.
"""

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfbuild.adapters.gate.behaviour.usage import ANYTHING, guess
from selfbuild.adapters.gate.behaviour.value_pools import Constants, Pools
from selfbuild.gate.changes import Definition, Function, definitions

_BEFORE = 5
"""Most calls of other methods before the one that is tried."""


@dataclass(frozen=True)
class Arguments:
    """One call."""

    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    before: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Methods of the first argument that are called first, with their arguments."""

    def described(self) -> dict[str, Any]:
        """As the program in the sandbox reads it."""
        before = [[name, list(values)] for name, values in self.before]
        return {"positional": list(self.positional), "named": dict(self.named), "before": before}


class Inputs:
    """Makes arguments for the functions of one file."""

    def __init__(self, text: str, *, module: str, seed: str, others: Sequence[str] = ()) -> None:
        """
        Args:
            text: The file as it was.
            module: The name it is imported by.
            seed: Decides what is random.
            others: Further versions of the text whose constants are tried too.
        """
        self._tree = ast.parse(text)
        self._module = module
        self._seed = seed
        self._others = [ast.parse(other) for other in others]
        self._definitions = {(each.qualified_name, each.kind == "setter"): each for each in definitions(self._tree)}

    def definition(self, qualified_name: str, *, setter: bool = False) -> Definition | None:
        """A function of the file."""
        return self._definitions.get((qualified_name, setter))

    def calls(self, definition: Definition, count: int) -> list[Arguments]:
        """Up to so many different calls, the plainest first; none where `self` cannot be made."""
        rng = random.Random(f"{self._seed} {definition.qualified_name}")
        pools = Pools(self._module, self._tree, self._constants(definition), rng)
        made: dict[str, Arguments] = {}
        for each in self._made(definition, pools, rng, count * 2):
            made.setdefault(repr(each), each)
            if len(made) >= count:
                break
        return list(made.values())

    def _made(self, definition: Definition, pools: Pools, rng: random.Random, tries: int) -> Iterator[Arguments]:
        node, owned = definition.node, definition.kind not in ("function", "staticmethod")
        subjects = self._subjects(definition, pools)
        if owned and not subjects:
            return
        choices = [(spec, self._pool(spec, node, pools)) for spec in _parameters(node, skip_first=owned)]
        for chosen in _combined([pool for _, pool in choices], rng, tries):
            positional, named = _arranged(choices, chosen)
            before: tuple[tuple[str, tuple[Any, ...]], ...] = ()
            if owned:
                positional = [rng.choice(subjects), *positional]
                if definition.kind not in ("classmethod",) and definition.node.name != "__init__":
                    before = tuple(self._prelude(definition, pools, rng))
            yield Arguments(tuple(positional), named, before)

    def _pool(self, spec: "_Parameter", node: Function, pools: Pools) -> list[Any]:
        annotation = spec.node.annotation
        pool = pools.of(annotation) if annotation is not None else None
        if pool is None:
            pool = pools.of_shape(guess(node, spec.node.arg, spec.default))
        if spec.default is not None:
            pool = [*pools.constant(spec.default), *pool]
        return pool

    def _subjects(self, definition: Definition, pools: Pools) -> list[Any]:
        """Objects that a method may be called on."""
        if definition.owner is None or definition.kind in ("function", "staticmethod"):
            return []
        owner = definition.qualified_name.rpartition(".")[0]
        if definition.kind == "classmethod":
            return [{"class": [self._module, owner]}]
        return pools.instances(owner)

    def _prelude(
        self, definition: Definition, pools: Pools, rng: random.Random
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        owner = definition.qualified_name.rpartition(".")[0]
        others = [
            each
            for (name, _), each in sorted(self._definitions.items())
            if name.rpartition(".")[0] == owner and each.kind == "method" and not each.node.name.startswith("_")
        ]
        for each in [rng.choice(others) for _ in range(rng.randrange(_BEFORE + 1))] if others else []:
            choices = [(spec, self._pool(spec, each.node, pools)) for spec in _parameters(each.node, skip_first=True)]
            values, _ = _arranged(choices, [rng.choice(pool[:6]) for _, pool in choices], plain=True)
            yield each.node.name, tuple(values)

    def _constants(self, definition: Definition) -> Constants:
        """Those of the function and of the values the module binds to names, in all versions."""
        nodes: list[ast.AST] = []
        for tree in (self._tree, *self._others):
            nodes += [each.node for each in definitions(tree) if each.qualified_name == definition.qualified_name]
            nodes += [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        return Constants.of(nodes)


@dataclass(frozen=True)
class _Parameter:
    node: ast.arg
    default: ast.expr | None
    kind: str
    """`positional`, `named`, `more` or `more named`."""


def _parameters(node: Function, *, skip_first: bool) -> list[_Parameter]:
    spec = node.args
    plain = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(spec.defaults)) + list(spec.defaults)
    found = [_Parameter(each, default, "positional") for each, default in zip(plain, defaults, strict=True)]
    found = found[1:] if skip_first else found
    if spec.vararg is not None:
        found.append(_Parameter(spec.vararg, None, "more"))
    found += [
        _Parameter(each, default, "named") for each, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    ]
    return found


def _arranged(
    choices: Sequence[tuple[_Parameter, list[Any]]], chosen: Sequence[Any], *, plain: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for (spec, pool), value in zip(choices, chosen, strict=True):
        if spec.kind == "positional":
            positional.append(value)
        elif spec.kind == "more":
            positional += [] if plain else [value, *pool[:1]]
        else:
            named[spec.node.arg] = value
    return positional, named


def _combined(pools: Sequence[list[Any]], rng: random.Random, tries: int) -> Iterator[list[Any]]:
    """Each value of each pool beside plain others, then mixed at random."""
    if not pools:
        yield from ([] for _ in range(tries))
        return
    plain = [pool[: max(1, min(4, len(pool)))] for pool in pools]
    ranked = [(rank, place) for place, pool in enumerate(pools) for rank in range(len(pool))]
    waiting = [(place, pools[place][rank]) for rank, place in sorted(ranked)]
    for number in range(tries):
        chosen = [rng.choice(each) for each in plain]
        if number < len(waiting):
            place, value = waiting[number]
            chosen[place] = value
        else:
            chosen = [rng.choice(pool) for pool in pools]
        yield chosen


__all__ = ["ANYTHING", "Arguments", "Inputs"]
