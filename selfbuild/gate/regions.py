"""Which statements a patch touches. The rest is the same on both sides, so that a delta need not look at it."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Key = tuple[type, bool, int, int]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Regions:
    """Statements that stand in one version only, or whose text differs."""

    old: tuple[ast.AST, ...]
    new: tuple[ast.AST, ...]


def touched(old: ast.Module, new: ast.Module, old_text: str, new_text: str) -> Regions:
    """The touched statements of both versions; a class counts as its members, its bases and its decorators.

    A statement is left out only where both versions have one of the same kind on the same lines of the text before the
    first difference, or behind the last: such statements were read from the same characters.
    """
    before, after = old_text.split("\n"), new_text.split("\n")
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    was, is_ = _units(old), _units(new)
    mine = [_key(unit, head, tail, len(before)) for unit in was]
    yours = [_key(unit, head, tail, len(after)) for unit in is_]
    same = ({key for key in mine if key} & {key for key in yours if key}) if head or tail else set()
    return Regions(
        tuple(unit for unit, key in zip(was, mine, strict=True) if key not in same),
        tuple(unit for unit, key in zip(is_, yours, strict=True) if key not in same),
    )


def imports_in(body: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import at any depth, found without looking into expressions."""
    waiting = list(body)[::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
            continue
        for name in ("finalbody", "handlers", "orelse", "cases", "body"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                waiting.extend(inner[::-1])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        count += 1
    return count


def _units(tree: ast.Module) -> list[ast.AST]:
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [*reversed(tree.body)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            found += [*node.decorator_list, *node.bases, *node.keywords]
            waiting.extend(node.body[::-1])
        else:
            found.append(node)
    return found


def _key(node: ast.AST, head: int, tail: int, total: int) -> Key | None:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])  # type: ignore[attr-defined]
    last: int = node.end_lineno  # type: ignore[attr-defined]
    if last <= head:
        return type(node), True, first, last
    return (type(node), False, total - first, total - last) if first > total - tail else None
