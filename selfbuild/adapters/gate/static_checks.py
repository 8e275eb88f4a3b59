"""Lint and security of the changed files, each as the difference between base and patched text; nothing is run."""

import json
import re
import sys
from collections import Counter
from typing import Any

from selfbuild.adapters.gate.outcome import Finding, Outcome, delta, failed, skipped
from selfbuild.adapters.gate.tools import Answer, ask, find_program, tool_version
from selfbuild.adapters.gate.workspace import Workspace

_RULES = "E9,F,B,S,ASYNC,BLE,PLE"
"""ruff: undefined names, likely bugs, security, blocking calls in coroutines, swallowed errors."""
_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|gh[pousr]_[A-Za-z0-9]{30}|sk-[A-Za-z0-9-]{20}"
    r"|xox[abp]-[A-Za-z0-9-]{10}"
    r"|(?i:password|passwd|secret|api_?key|access_?key|token)\s*[:=]\s*['\"][^'\"\s]{8,}['\"]"
)


async def lint(workspace: Workspace) -> Outcome:
    """ruff on both versions, without any configuration and without heeding `noqa`."""
    program = find_program("ruff")
    if program is None:
        return skipped("ruff is not installed: run 'pip install ruff'")
    command = [program, "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--select", _RULES]
    command += ["--ignore", "S101", "--output-format", "json", *workspace.both()]
    answer = await ask(command, folder=workspace.folder)
    entries = _entries(answer, lambda loaded: loaded)
    if entries is None:
        return skipped(f"ruff gave no answer: {answer.stderr[-300:]}")
    return _compare(
        workspace,
        [(e["filename"], e.get("code") or "E999", e["message"], e["location"]["row"]) for e in entries],
    )


async def security(workspace: Workspace, new: dict[str, str], old: dict[str, str]) -> Outcome:
    """Secrets in new lines; then bandit on both versions, from medium severity on, without heeding `nosec`."""
    for path, text in new.items():
        known = set(old[path].split("\n"))
        for number, line in enumerate(text.split("\n"), 1):
            if line not in known and _SECRET.search(line):
                return failed(f"the new line looks like a secret ({path}:{number})", place=f"{path}:{number}")
    if tool_version("bandit") is None:
        return skipped("bandit is not installed: run 'pip install bandit'")
    command = [sys.executable, "-I", "-m", "bandit", "-q", "-ll", "--ignore-nosec", "--exit-zero", "-f", "json"]
    answer = await ask([*command, *workspace.both()], folder=workspace.folder)
    entries = _entries(answer, lambda loaded: loaded["results"])
    if entries is None:
        return skipped(f"bandit gave no answer: {answer.stderr[-300:]}")
    return _compare(workspace, [(e["filename"], e["test_id"], e["issue_text"], e["line_number"]) for e in entries])


def _entries(answer: Answer, pick: Any) -> list[dict[str, Any]] | None:
    if answer.return_code != 0:
        return None
    try:
        return list(pick(json.loads(answer.stdout)))
    except (ValueError, KeyError, TypeError):
        return None


def _compare(workspace: Workspace, entries: list[tuple[str, str, str, int]]) -> Outcome:
    counts: dict[str, Counter[Finding]] = {"base": Counter(), "patched": Counter()}
    lines: dict[Finding, int] = {}
    for file, rule, message, line in entries:
        version, path = workspace.place(file)
        finding = Finding(path, rule, message.partition("\n")[0])
        counts[version][finding] += 1
        if version == "patched":
            lines[finding] = line
    return delta(counts["base"], counts["patched"], lines)
