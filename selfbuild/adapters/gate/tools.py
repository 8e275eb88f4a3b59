"""Starts the tools that read a patch as data: isolated from its settings, outside of its folder, with an end."""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_TIMEOUT_S = 120.0
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Answer:
    """What a tool said."""

    return_code: int | None
    """None when it was ended by the time limit."""
    stdout: str
    stderr: str


@lru_cache(maxsize=8)
def tool_version(package: str) -> str | None:
    """`name version` of an installed package; None without it."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None


def find_program(name: str) -> str | None:
    """A program beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


async def ask(command: Sequence[str], *, folder: Path, environment: dict[str, str] | None = None) -> Answer:
    """Run a tool in `folder`, which must not be part of a tree under validation."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=_ENVIRONMENT | (environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        return Answer(None, "", f"no answer within {_TIMEOUT_S:.0f} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
    return Answer(process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
