"""Which code calls the functions that may be changed: what a change must not break."""

import ast
import warnings
from collections.abc import Mapping, Sequence

from selfbuild.domain.patches import Caller

MAX_CALLERS = 6
CONTEXT_LINES = 4
"""Lines shown above and below a call."""


def find_callers(
    texts: Mapping[str, str], symbols: Mapping[str, Sequence[str]], *, shown: Sequence[str]
) -> tuple[Caller, ...]:
    """Calls of `symbols` in files that are not `shown`, one excerpt a file and run of lines, at most MAX_CALLERS.

    Functions are told by their bare name, so that a call of another function of that name is found too.

    Args:
        texts: Path -> source of the whole application.
        symbols: Path -> functions and classes that may be changed.
        shown: Paths whose whole text is shown already.
    """
    names = {name.rpartition(".")[2] for each in symbols.values() for name in each}
    found: list[Caller] = []
    for path in sorted(set(texts) - set(shown)):
        if not any(name in texts[path] for name in names):
            continue
        lines = texts[path].splitlines()
        for first, last in _runs(_calling_lines(texts[path], names), len(lines)):
            found.append(Caller(path=path, line=first, text="\n".join(lines[first - 1 : last])))
    return tuple(found[:MAX_CALLERS])


def _calling_lines(source: str, names: set[str]) -> list[int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted({node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) in names})


def _called(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else None


def _runs(lines: Sequence[int], count: int) -> list[tuple[int, int]]:
    """First and last line of each stretch to show, from 1; stretches that touch are one."""
    runs: list[tuple[int, int]] = []
    for line in lines:
        first, last = max(1, line - CONTEXT_LINES), min(count, line + CONTEXT_LINES)
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = runs[-1][0], last
        else:
            runs.append((first, last))
    return runs
