"""`selfbuild gate`: what the gate says of one answer of a generator, on this machine, without a server or Temporal."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfbuild.cli.client import NEGATIVE, UNAVAILABLE, USAGE
from selfbuild.cli.options import OutputOption
from selfbuild.cli.output import Format, say, write

if TYPE_CHECKING:
    from selfbuild.domain.applications import Application
    from selfbuild.domain.patches import CheckResult, GateReport, Patch

_STDIN = "-"
_LINK_BYTES = 4096
RepoOption = Annotated[Path, typer.Option("--repo", metavar="DIR", help="The application's source; it is only read.")]
RequestOption = Annotated[
    Path, typer.Option("--request", metavar="FILE", help="JSON: shown_files [], target_symbols {file: [names]}.")
]
AnswerOption = Annotated[
    str, typer.Option("--answer", metavar="FILE", help="The answer as the generator gave it; - for stdin.")
]
PythonOption = Annotated[
    str, typer.Option("--python", metavar="PATH", help="Interpreter of the application; else the agent's own.")
]


def gate(
    repo: RepoOption,
    request: RequestOption,
    answer: AnswerOption,
    python: PythonOption = sys.executable,
    output: OutputOption = Format.JSON,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json, which is the default.")] = False,
    static_only: Annotated[
        bool, typer.Option("--static-only", help="Only what reads the answer; nothing of it is run.")
    ] = False,
) -> None:
    """Put one answer of a generator through the gate; exit 0 if it is accepted, 1 if not.

    Example: selfbuild gate --repo ./shop --request request.json --answer answer.json
    """
    from selfbuild.domain.errors import InvalidRequest, Misconfigured, Unreachable
    from selfbuild.log import configure

    configure(level="WARNING")
    try:
        shown, targets = _read_request(request)
        tree = _existing_folder(repo)
        text = _read_answer(answer)
        result = _judged(text, tree, shown=shown, targets=targets, python=python, static_only=static_only)
    except (InvalidRequest, Misconfigured) as error:
        say(str(error))
        raise typer.Exit(USAGE) from error
    except Unreachable as error:
        say(str(error))
        raise typer.Exit(UNAVAILABLE) from error
    if as_json or output is Format.JSON:
        # Escaped: what an answer says may be aimed at the terminal that shows it.
        print(json.dumps(result, ensure_ascii=True))
    else:
        write(_printable(result), output, rows=_printable(result["checks"]) if output is Format.TABLE else None)
        say("accepted" if result["accepted"] else f"refused: {result['reason_class']}")
    if not result["accepted"]:
        raise typer.Exit(NEGATIVE)


def _judged(
    text: str, repo: Path, *, shown: list[str], targets: dict[str, list[str]], python: str, static_only: bool
) -> dict[str, Any]:
    from selfbuild.gate import AnswerProblem, read_answer

    read = read_answer(text)
    if isinstance(read, AnswerProblem):
        failed = {"name": read.check.value, "passed": False, "place": None, "remedy": read.reason}
        return {"accepted": False, "reason_class": read.check.value, "checks": [failed]}
    with _readable_copy(repo) as tree:
        missing = [path for path in shown if not (tree / path).is_file()]
        for path in missing:
            say(f"{path} is named in shown_files and is no file of {repo}")
        if static_only:
            return _guarded(read, tree, shown, targets)
        return _result(asyncio.run(_validated(read, tree, shown, targets, python)))


def _guarded(patch: "Patch", tree: Path, shown: list[str], targets: dict[str, list[str]]) -> dict[str, Any]:
    from selfbuild.adapters.gate.workspace import list_tree, read_sources
    from selfbuild.gate import guard

    listing = list_tree(tree)
    guarded = guard(
        patch,
        read_sources(tree, shown, listing),
        shown=shown,
        target_symbols=targets,
        regular_files=listing.files,
        links=listing.links,
    )
    checks = [_row(check) for check in guarded.checks]
    return {"accepted": guarded.accepted, "reason_class": guarded.reason_class, "checks": checks}


async def _validated(
    patch: "Patch", tree: Path, shown: list[str], targets: dict[str, list[str]], python: str
) -> "GateReport":
    from selfbuild.adapters.gate import GateRunner
    from selfbuild.adapters.sandbox import find_sandbox
    from selfbuild.settings import Settings

    sandbox = find_sandbox(python=python)
    with closing(GateRunner(sandbox, python=python)) as runner:
        return await runner.validate(
            patch=patch,
            base_tree=tree,
            application=_application(tree, python),
            shown_files=shown,
            target_symbols=targets,
            quality_threshold=Settings.model_fields["improvement_quality_threshold"].default,
        )


def _application(tree: Path, python: str) -> "Application":
    from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig

    return Application(
        tenant_id="local",
        name="local",
        telemetry=TelemetryConfig(log_group="local"),
        repository=RepositoryConfig(url=str(tree), python=python),
        release=ProcessTarget(control_url="http://127.0.0.1:1"),
    )


def _result(report: "GateReport") -> dict[str, Any]:
    from selfbuild.domain.base import Verdict

    checks = [_row(check) for check in report.checks]
    if report.verdict is Verdict.INCONCLUSIVE:
        say(report.message)
    return {"accepted": report.accepted, "reason_class": report.reason_class, "checks": checks}


def _row(check: "CheckResult") -> dict[str, Any]:
    from selfbuild.domain.patches import CheckVerdict

    passed = None if check.verdict is CheckVerdict.SKIPPED else check.verdict is CheckVerdict.PASSED
    remedy = check.remedy
    if passed is None:
        remedy = f"skipped: {remedy or 'an earlier check failed'}"
    return {"name": check.name, "passed": passed, "place": check.place, "remedy": remedy}


def _printable(value: Any) -> Any:
    """The same with every text in plain ASCII."""
    if isinstance(value, str):
        return value.encode("ascii", "backslashreplace").decode()
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return {name: _printable(each) for name, each in value.items()} if isinstance(value, dict) else value


def _read_request(file: Path) -> tuple[list[str], dict[str, list[str]]]:
    from pydantic import BaseModel, StrictStr, ValidationError

    from selfbuild.domain.errors import InvalidRequest

    class Request(BaseModel):
        shown_files: list[StrictStr]
        target_symbols: dict[StrictStr, list[StrictStr]] = {}

    try:
        read = Request.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}: name a request that can be read") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidRequest(
            f"{file}: {place}: {first['msg']}: a request is "
            '{"shown_files": ["a.py"], "target_symbols": {"a.py": ["function"]}}'
        ) from error
    return read.shown_files, read.target_symbols


def _existing_folder(repo: Path) -> Path:
    from selfbuild.domain.errors import InvalidRequest

    if not repo.is_dir():
        raise InvalidRequest(f"{repo}: no such folder: name the application's source with --repo")
    return repo


def _read_answer(file: str) -> str:
    """No more than the gate reads; bytes that are no UTF-8 make it no JSON, which the gate says."""
    from selfbuild.domain.errors import InvalidRequest
    from selfbuild.gate.answers import ANSWER_BYTES

    try:
        if file == _STDIN:
            content = sys.stdin.buffer.read(ANSWER_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(ANSWER_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}: name an answer that can be read, or - for stdin") from error
    return content.decode("utf-8", "surrogateescape")


@contextmanager
def _readable_copy(repo: Path) -> Iterator[Path]:
    """A copy of the tree, removed afterwards, in which links that a checkout wrote as text are links again."""
    with tempfile.TemporaryDirectory(prefix="selfbuild-gate-") as folder:
        tree = Path(folder) / (repo.resolve().name or "repo")
        skipped = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache")
        shutil.copytree(repo, tree, symlinks=True, ignore=skipped, copy_function=_copy_regular)
        for path in sorted(tree.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        for path in sorted(tree.rglob("*")):
            if not path.is_symlink() and path.is_file() and (target := _link_target(path)):
                path.unlink()
                path.symlink_to(target)
        yield tree


def _copy_regular(source: str, target: str) -> None:
    """Sockets, pipes and devices are no part of a source tree, and could block."""
    if Path(source).is_file():
        shutil.copyfile(source, target)
        Path(target).chmod(0o600 | (Path(source).stat().st_mode & 0o100))


def _link_target(path: Path) -> str | None:
    """Where a symbolic link leads that git wrote as a text file, as it does where links are not supported."""
    if path.stat().st_size > _LINK_BYTES:
        return None
    content = path.read_bytes()
    if not content.startswith(b"../") or b"\n" in content.rstrip(b"\n") or b"\0" in content:
        return None
    return content.decode("utf-8", "replace").strip()
