"""`selfbuild sandbox`: run a command as the gate runs generated code, and see what that isolates. Needs no server."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfbuild.cli.client import NEGATIVE, UNAVAILABLE, USAGE
from selfbuild.cli.options import OutputOption
from selfbuild.cli.output import Format, say, write

if TYPE_CHECKING:
    from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult, SandboxStatus

LIMITED = 124
"""Exit code of a command that a limit ended, as timeout(1) has it."""
app = typer.Typer(no_args_is_help=True, help="The sandbox that generated code runs in.")


class Level(StrEnum):
    """What isolates."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


LevelOption = Annotated[
    Level | None, typer.Option("--level", help="Take this one or none; the setting SANDBOX, else auto.")
]


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="The command and its arguments, after --.")],
    cwd: Annotated[
        Path | None, typer.Option("--cwd", help="Folder whose copy is the working directory; else an empty one.")
    ] = None,
    level: LevelOption = None,
    wall: Annotated[float, typer.Option("--wall", min=0.1, help="Seconds until it is ended.")] = 120,
    cpu: Annotated[int, typer.Option("--cpu", min=1, help="Seconds of processor time of each process.")] = 60,
    memory: Annotated[int, typer.Option("--memory", min=16, help="MiB of memory, all processes together.")] = 1024,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Processes and threads.")] = 128,
    output_kib: Annotated[int, typer.Option("--output-kib", min=1, help="KiB kept of each output.")] = 1024,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="First find out what is enforced.")] = True,
) -> None:
    """Run a command under the gate's sandbox on a copy of a folder; nothing it writes is kept.

    Its output and its exit code are passed on. Exit 124: a limit ended it, which stderr names. Exit 7: the sandbox did
    not start, so that the command never ran.

    Example: selfbuild sandbox run --cwd ./app -- python -m pytest -q
    """
    from selfbuild.ports import SandboxLimits

    if cwd is not None and not cwd.is_dir():
        say(f"--cwd {str(cwd)!r}: no such folder")
        raise typer.Exit(USAGE)
    limits = SandboxLimits(
        wall_s=wall, cpu_s=cpu, memory_bytes=memory << 20, processes=processes, output_bytes=output_kib << 10
    )
    result = _result(level, command, cwd, limits, probe=probe)
    _pass_on(result)
    if result.limit is not None:
        say(f"sandbox: ended by the limit of {result.limit} after {result.duration_ms / 1000:.1f} s")
        raise typer.Exit(LIMITED)
    say(f"sandbox: exit code {result.exit_code} after {result.duration_ms / 1000:.2f} s")
    raise typer.Exit(result.exit_code or 0)


@app.command("probe")
def probe_command(level: LevelOption = None, output: OutputOption = Format.TABLE) -> None:
    """Try what the sandbox enforces on this machine; exit 1 with the remedies where something is missing.

    Example: selfbuild sandbox probe
    """
    show(level, output)


def show(level: Level | None, output: Format) -> None:
    """Write what is enforced and what is not, and end with the exit code that says so."""
    from selfbuild.domain.errors import SelfBuildError

    try:
        status = asyncio.run(_chosen(level).probe())
    except SelfBuildError as error:
        say(str(error))
        raise typer.Exit(UNAVAILABLE) from error
    rows = [{"promise": name, "enforced": True, "remedy": ""} for name in status.enforced]
    for reason in status.missing:
        name, _, remedy = reason.partition(": ")
        rows.append({"promise": name, "enforced": False, "remedy": remedy})
    write(status.model_dump(mode="json") | {"safe": status.safe}, output, rows=rows)
    say(f"sandbox: {status.level}, {'safe' if status.safe else 'not safe: no patch is deployed without a person'}")
    for reason in status.missing:
        say(reason)
    if not status.safe:
        raise typer.Exit(NEGATIVE)


def _chosen(level: Level | None) -> "Sandbox":
    from selfbuild.adapters.sandbox import find_sandbox
    from selfbuild.domain.errors import Misconfigured
    from selfbuild.settings import Settings

    if level is not None:
        return find_sandbox(level.value)
    try:
        return find_sandbox(Settings.load().sandbox)
    except Misconfigured as error:
        say(str(error))
        raise typer.Exit(USAGE) from error


def _result(
    level: Level | None, command: Sequence[str], cwd: Path | None, limits: "SandboxLimits", *, probe: bool
) -> "SandboxResult":
    from selfbuild.domain.errors import Misconfigured, Unreachable

    async def attempt() -> "SandboxResult":
        sandbox = _chosen(level)
        if probe:
            _tell(await sandbox.probe())
        with tempfile.TemporaryDirectory(prefix="selfbuild-empty-") as empty:
            tree = Path(empty) if cwd is None else cwd
            return await sandbox.run(command, tree=tree, limits=limits, readable=_interpreter(command[0]))

    try:
        return asyncio.run(attempt())
    except (Unreachable, Misconfigured) as error:
        say(f"sandbox: {error}")
        raise typer.Exit(UNAVAILABLE) from error


def _interpreter(program: str) -> tuple[Path, ...]:
    """The folders of the Python that the command names, so that it is found inside."""
    from selfbuild.adapters.sandbox.staging import interpreter_paths

    found = shutil.which(program) if program.startswith("/") else None
    return interpreter_paths(found) if found is not None and Path(found).name.startswith("python") else ()


def _tell(status: "SandboxStatus") -> None:
    say(f"sandbox: {status.level}; enforced: {', '.join(status.enforced) or 'nothing'}")
    for reason in status.missing:
        say(f"sandbox: missing: {reason}")


def _pass_on(result: "SandboxResult") -> None:
    for text, stream in ((result.stdout, sys.stdout), (result.stderr, sys.stderr)):
        # A terminal obeys control characters; a file or a pipe gets every one.
        stream.write(_harmless(text) if stream.isatty() else text)
        stream.flush()


def _harmless(text: str) -> str:
    return "".join(each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text)
