"""Finds what the sandbox of a worker enforces when the worker starts, and tells it: in the log and in the records."""

from datetime import datetime

import structlog

from selfbuild.domain.workers import WorkerFacts
from selfbuild.ports import Records, Sandbox, SandboxStatus

_log = structlog.get_logger()


async def check_sandbox(sandbox: Sandbox, records: Records, *, host: str, queue: str, now: datetime) -> SandboxStatus:
    """Probe the sandbox, about half a second, and publish what was found for `get_system_status`.

    Args:
        sandbox: What this worker runs generated code in.
        records: Where the status is read from, by other processes.
        host: This machine's name; a worker that starts again replaces what it said.
        queue: The queue whose work runs in the sandbox.
        now: When the worker started.
    """
    status = await sandbox.probe()
    tell = _log.info if status.safe else _log.warning
    tell("sandbox.probed", level=status.level, enforced=list(status.enforced), missing=list(status.missing))
    await records.save_worker(
        WorkerFacts(
            host=host,
            queue=queue,
            written_at=now,
            sandbox_level=status.level,
            enforced=status.enforced,
            missing=status.missing,
        )
    )
    return status
