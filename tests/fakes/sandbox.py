"""A sandbox that runs nothing: it answers what it was told to, and remembers what it was asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfbuild.domain.errors import SelfBuildError
from selfbuild.ports import SandboxLimits, SandboxResult, SandboxStatus


@dataclass(frozen=True)
class Asked:
    """One command the fake was given, with the files it would have run on."""

    command: tuple[str, ...]
    files: dict[str, str]
    limits: SandboxLimits
    readable: tuple[Path, ...]
    environment: dict[str, str]


Answer = Callable[[Asked], SandboxResult]


def ended(exit_code: int | None = 0, stdout: str = "", *, stderr: str = "", limit: str | None = None) -> SandboxResult:
    """How a command ended; without trouble unless told otherwise."""
    return SandboxResult(exit_code=exit_code, stdout=stdout, stderr=stderr, limit=limit, duration_ms=1.0, level="fake")


class FakeSandbox:
    """Implements Sandbox."""

    level = "fake"

    def __init__(self, answer: Answer | None = None, *, error: SelfBuildError | None = None) -> None:
        self.asked: list[Asked] = []
        self._answer = answer or (lambda _: ended())
        self._error = error

    async def probe(self) -> SandboxStatus:
        return SandboxStatus(level=self.level, enforced=("everything",), missing=())

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        if self._error is not None:
            raise self._error
        files = {
            path.relative_to(tree).as_posix(): path.read_text()
            for path in sorted(tree.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        asked = Asked(tuple(command), files, limits, tuple(readable), dict(environment or {}))
        self.asked.append(asked)
        return self._answer(asked)
