"""Writes results to stdout as a table, JSON or YAML; everything else goes to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

MAX_CELL = 60
"""Characters of a cell in a table; JSON and YAML cut nothing."""


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def write(result: Any, output: Format, *, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Write a result; as a table either its `rows` or its own plain members."""
    if output is Format.JSON:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    elif output is Format.YAML:
        import yaml

        print(yaml.safe_dump(result, sort_keys=False, allow_unicode=True).rstrip())
    elif rows is not None:
        _write_rows(rows)
    else:
        _write_members(result)


def say(text: str) -> None:
    """Progress and remarks, to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; lists as their length or their plain members."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= flatten(inner, f"{prefix}{name}.")
        elif isinstance(inner, list) and any(isinstance(each, Mapping | list) for each in inner):
            flat[prefix + name] = f"{len(inner)} (see -o json)"
        elif isinstance(inner, list):
            flat[prefix + name] = ", ".join(str(each) for each in inner) or "-"
        else:
            flat[prefix + name] = inner
    return flat


def _write_members(result: Mapping[str, Any]) -> None:
    flat = flatten(result)
    width = max((len(name) for name in flat), default=0)
    for name, value in flat.items():
        print(f"{name:<{width}}  {_text(value)}")


def _write_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        say("none")
        return
    names = list(rows[0])
    table = [[name.upper() for name in names]] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    text = " ".join(_text(value).split())
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
