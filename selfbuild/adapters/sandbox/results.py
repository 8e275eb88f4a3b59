"""Reads a sandbox's ending: whether the command ran at all, and what that means."""

import signal

from selfbuild.adapters.sandbox.supervise import Ended
from selfbuild.domain.errors import Unreachable
from selfbuild.ports import SandboxLimits, SandboxResult

START = (
    'cd "$1" && shift && { command -v "$1" >/dev/null || { printf "no such command: %s\\n" "$1" >&2; exit 127; }; } && '
    'printf "%s\\n" "$0" && exec "$@"'
)
"""Shell words that run a command after printing the proof, which only the shell knows, as the first line."""


def result_of(ended: Ended, *, proof: str, level: str, limits: SandboxLimits) -> SandboxResult:
    """What to say of a command.

    Raises:
        Unreachable: the proof is missing, so that the command never ran.
    """
    first, _, rest = ended.stdout.decode("utf-8", "replace").partition("\n")
    stderr = ended.stderr.decode("utf-8", "replace")
    if first != proof:
        raise Unreachable(
            f"the sandbox did not start the command: {stderr.strip()[-500:] or ended.limit or 'no reason given'}"
        )
    limit = ended.limit or _limit_of(ended.return_code, over=ended.duration_ms >= limits.cpu_s * 1000)
    return SandboxResult(
        exit_code=None if limit else ended.return_code,
        stdout=rest,
        stderr=stderr,
        limit=limit,
        duration_ms=ended.duration_ms,
        level=level,
    )


def _limit_of(code: int | None, *, over: bool) -> str | None:
    """Which limit a signal stands for; a shell and bubblewrap answer 128 + signal, asyncio the negative signal.

    Args:
        code: What the command ended with.
        over: Whether it ran for as long as it may use the processor: one that ignores SIGXCPU is killed.
    """
    if code in (128 + signal.SIGXCPU, -signal.SIGXCPU) or (over and code in (128 + signal.SIGKILL, -signal.SIGKILL)):
        return "cpu"
    return "file" if code in (128 + signal.SIGXFSZ, -signal.SIGXFSZ) else None
