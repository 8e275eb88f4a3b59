"""No isolation: limits, a process group of its own and an empty environment. Only where it was asked for explicitly."""

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfbuild.adapters.sandbox.environment import base_environment
from selfbuild.adapters.sandbox.probes import probe
from selfbuild.adapters.sandbox.results import START, result_of
from selfbuild.adapters.sandbox.staging import copy_tree, remove_tree
from selfbuild.adapters.sandbox.supervise import Plan, supervise
from selfbuild.adapters.sandbox.tree import owned_by
from selfbuild.ports import SandboxLimits, SandboxResult, SandboxStatus


class UnsafeLocalSandbox:
    """Implements Sandbox without isolation: the code sees this user's files and the network."""

    level = "unsafe-local"

    def __init__(self, *, python: str = sys.executable) -> None:
        self._python = python

    async def probe(self) -> SandboxStatus:
        """What is enforced here, by trying it; the network and files never are."""
        return await probe(self, level=self.level, python=self._python)

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Run on a copy of `tree`; `readable` is visible anyway, and so is everything else.

        Raises:
            Unreachable: the command did not start.
        """
        proof = secrets.token_hex(16)
        folder = Path(tempfile.mkdtemp(prefix="selfbuild-"))
        try:
            copy_tree(tree, folder / "work", uid=None)
            (folder / "tmp").mkdir()
            folders = [str(Path(self._python).parent), "/usr/local/bin", "/usr/bin", "/bin"]
            own = base_environment(folders) | {"HOME": str(folder / "tmp"), "TMPDIR": str(folder / "tmp")}
            plan = Plan(
                command=("/bin/sh", "-c", START, proof, str(folder / "work"), *command),
                environment=own | dict(environment or {}),
                folder=str(folder / "work"),
                stays=True,
                processes_already=owned_by(os.geteuid()),
            )
            ended = await supervise(plan, limits)
        finally:
            remove_tree(folder)
        return result_of(ended, proof=proof, level=self.level, limits=limits)
