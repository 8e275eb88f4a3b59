"""How an application's code is written, told from its configuration and its files."""

import ast
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

CONFIGURATION_FILES = ("pyproject.toml", "ruff.toml")
MAX_DEPENDENCIES = 30
_MOST = 0.8
"""Share from which something counts as the custom."""
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def conventions(texts: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for each custom that can be told.

    Args:
        texts: Path -> content of the configuration files that exist and of the application's Python files.
    """
    python = {path: text for path, text in texts.items() if path.endswith(".py")}
    return (*_configured(texts), *_customs(python))


def _configured(texts: Mapping[str, str]) -> list[str]:
    project = _toml(texts.get("pyproject.toml", ""))
    ruff = _toml(texts.get("ruff.toml", "")) or _table(project, "tool", "ruff")
    about = _table(project, "project")
    said: list[str] = []
    version = about.get("requires-python")
    if isinstance(version, str):
        said.append(f"Python {version[:50]}")
    width = ruff.get("line-length") or _table(project, "tool", "black").get("line-length")
    if isinstance(width, int):
        said.append(f"lines of at most {width} characters")
    listed = about.get("dependencies")
    if isinstance(listed, list):
        names = [match[0] for each in listed if isinstance(each, str) and (match := _REQUIREMENT.match(each))]
        said.append(f"dependencies: {', '.join(names[:MAX_DEPENDENCIES]) or 'none but the standard library'}")
    return said


def _customs(python: Mapping[str, str]) -> list[str]:
    counts: Counter[str] = Counter()
    for text in python.values():
        counts.update(_counted(text))
    said = []
    if counts["functions"] >= 5:
        typed = counts["typed"] / counts["functions"]
        said.append(
            "functions have type annotations"
            if typed >= _MOST
            else "functions have no type annotations"
            if typed <= 1 - _MOST
            else "some functions have type annotations"
        )
        if counts["documented"] / counts["functions"] >= _MOST:
            said.append("functions have docstrings")
    quotes = counts['"'] + counts["'"]
    for mark, name in (('"', "double"), ("'", "single")):
        if quotes >= 10 and counts[mark] / quotes >= _MOST:
            said.append(f"strings in {name} quotes")
    for library in ("structlog", "loguru", "logging"):
        if counts[f"import {library}"]:
            said.append(f"logs through {library}")
            break
    return said


def _counted(text: str) -> Counter[str]:
    counts: Counter[str] = Counter(mark for mark in re.findall(r"(?<![\"'\w])([\"'])(?!\1)", text))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            counts["functions"] += 1
            counts["typed"] += node.returns is not None
            counts["documented"] += ast.get_docstring(node) is not None
        elif isinstance(node, ast.Import):
            counts.update(f"import {alias.name.partition('.')[0]}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            counts[f"import {node.module.partition('.')[0]}"] += 1
    return counts


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _table(document: Mapping[str, Any], *path: str) -> dict[str, Any]:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
