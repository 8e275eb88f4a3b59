"""Which files of a repository an opportunity is about."""

import ast
import re
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath

from selfbuild.domain.base import CodeLocation

MAX_SHOWN_FILES = 8
"""More context costs tokens and invites changes that have nothing to do with the insight."""


def rank_paths(texts: Mapping[str, str], *, component: str, location: CodeLocation | None) -> tuple[str, ...]:
    """Paths by relevance, best first: the named file, a file called like the component, then files that mention it.

    What these import from the same repository follows, nearest first: the cause often lies in a helper that does not
    know the component's name. The files with no relation come last, shortest first.
    """
    word = re.compile(rf"(?<![^\W_]){re.escape(component)}(?![^\W_])", re.IGNORECASE)

    def score(path: str) -> int:
        if location is not None and path == location.path:
            return 1_000_000
        named = PurePosixPath(path).stem.casefold() == component.casefold()
        return 1_000 * named + len(word.findall(texts[path]))

    ranked = sorted((path for path in texts if score(path) > 0), key=lambda path: (-score(path), path))
    found = dict.fromkeys(_with_imports(ranked, texts))
    return tuple(found | dict.fromkeys(sorted(texts, key=lambda path: (len(texts[path]), path))))


def _with_imports(ranked: list[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    """The paths, then what they import, then what that imports."""
    modules = _modules(texts)
    found = list(ranked)
    for path in found:
        # Grows while it is gone through, until nothing new is imported.
        found.extend(each for each in _imported(path, texts[path], modules) if each not in found)
    return tuple(found)


def _modules(texts: Mapping[str, str]) -> dict[str, str]:
    """Dotted name -> path, under every name it may be imported by: the root may be any folder above the file."""
    found: dict[str, str] = {}
    for path in sorted(texts, key=lambda path: (path.count("/"), path)):
        parts = PurePosixPath(path).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for start in range(len(parts)):
            found.setdefault(".".join(parts[start:]), path)
    return found


def _imported(path: str, text: str, modules: Mapping[str, str]) -> list[str]:
    """Paths of the repository's modules that the file imports, in the order of the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    package = PurePosixPath(path).parent.parts
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *((node.module,) if node.module else ())))
            names = [*(f"{base}.{alias.name}".lstrip(".") for alias in node.names), base]
        else:
            continue
        found.extend(modules[name] for name in names if name in modules and modules[name] != path)
    return list(dict.fromkeys(found))
