"""Selectors such as `$.error.type`, `$["a-b"][0]`: finding the value they name in a JSON document."""

import re
from typing import Any, Final

from localaws.errors import AwsError

_STEP = re.compile(r"\.([\w@\-/]+)|\[\"([^\"]*)\"\]|\['([^']*)'\]|\[(\d+)\]")
_SELECTOR = re.compile(rf"\$(?:{_STEP.pattern})*")

MISSING: Final = object()
"""What a selector yields where the document has no such value; JSON null is None."""


class Selector:
    """A parsed selector."""

    def __init__(self, source: str) -> None:
        if not _SELECTOR.fullmatch(source):
            raise AwsError("InvalidParameterException", f"Invalid selector {source!r} in filter pattern")
        self._steps: list[str | int] = [
            int(found[4]) if found[4] is not None else found[1] or found[2] or found[3] or ""
            for found in _STEP.finditer(source)
        ]

    def find(self, document: Any) -> Any:
        """The value, or `MISSING`."""
        value = document
        for step in self._steps:
            if isinstance(step, int):
                if not isinstance(value, list) or step >= len(value):
                    return MISSING
                value = value[step]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                return MISSING
        return value
