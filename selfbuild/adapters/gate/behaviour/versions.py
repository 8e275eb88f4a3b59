"""The two versions of an application whose behaviour is compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from selfbuild.gate.changes import FunctionRef, changed_functions


@dataclass(frozen=True)
class Versions:
    """Base and patched trees, and what differs between them."""

    base_tree: Path
    patched_tree: Path
    old: Mapping[str, str]
    """Path -> text of the changed files, as they were."""
    new: Mapping[str, str]
    """Path -> text of the changed files, as they would be."""
    python: str
    """The application's interpreter."""
    test_command: tuple[str, ...]
    kept_answers: frozenset[str] = frozenset()
    """Functions whose callers change no answer, as the application's policy says: their answers may be shared."""

    @cached_property
    def functions(self) -> tuple[FunctionRef, ...]:
        """The functions that may behave differently."""
        return changed_functions(self.old, self.new)
