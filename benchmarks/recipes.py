"""Every recipe over real Python that nobody wrote for it: what applies, what breaks, how long it takes.

Run by `python -m benchmarks.recipes [--files 600]`. The files are those of the standard library and of the installed
packages, evenly sampled. Nothing is executed: what a change does to behaviour is the tests' business.
"""

import argparse
import ast
import json
import subprocess
import sysconfig
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, describe
from selfbuild.domain.applications import BatchCall, RecipePolicy, RetryCall
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.insights import Evidence, Insight, Opportunity, Severity
from selfbuild.domain.patches import PatchRequest, SourceFile
from selfbuild.recipes import RECIPES, Recipe, Refusal, edits_between

WORKERS = 2
LARGEST_BYTES = 300_000
PATH = "app/file.py"
LINT = "E9,F821,F811,F401"
CRASHES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
"""Anything else ends the benchmark."""
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class Tally:
    """What came of one recipe over one file, or over all."""

    files: int = 0
    applied: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Results that do not compile, or that no edits lead to."""
    repeated: list[str] = field(default_factory=list)
    """Results the recipe changes once more."""
    times_s: list[float] = field(default_factory=list)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    """(path, old text, new text)."""
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Take over what another one counted."""
        for name in ("files", "applied", "refused", "crashes", "broken", "repeated", "times_s", "changed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons += other.reasons


def sample(count: int) -> list[Path]:
    """`count` files, evenly spread over the standard library and the installed packages."""
    folders = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    paths = sorted({path for folder in folders for path in folder.rglob("*.py") if path.stat().st_size < LARGEST_BYTES})
    return paths[:: max(1, len(paths) // count)][:count]


def request_for(recipe: Recipe, tree: ast.Module, text: str) -> PatchRequest:
    """Everywhere; for recipes that need a place or a policy, with one that this file gives occasion for."""
    called = Counter(_last(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = tuple(name for name, _ in called.most_common(12) if name.isidentifier())
    defined = tuple(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))[:12]
    policy = RecipePolicy(
        batch_calls={name: BatchCall(many=f"{name}_many") for name in names},
        retry_calls={name: RetryCall(errors=("OSError",)) for name in names[:4]},
        staleness_s=dict.fromkeys(defined, 30.0),
        value_defaults=dict.fromkeys(defined, "none"),
    )
    error: dict[str, Any] = {}
    if recipe.name in ("missing_key", "missing_value", "bounded_retry"):
        line, key = _first_key(tree)
        error = {"location": CodeLocation(path=PATH, line=line), "error_type": "KeyError", "error_message": repr(key)}
        policy = policy.model_copy(update={"missing_key_defaults": {key: "x"}, "value_defaults": {key: "x"}})
        if recipe.name == "missing_value":
            error |= {"error_type": "TypeError", "error_message": "'NoneType' object is not subscriptable"}
        if recipe.name == "bounded_retry":
            error |= {"error_type": "OSError", "error_message": "", "location": None}
    insight = Insight(
        insight_id="i",
        insight_type=min(recipe.insight_types),
        severity=Severity.HIGH,
        component="app",
        fingerprint="f",
        description="",
        recommended_action="",
        confidence=1.0,
        evidence=Evidence(window_start=AT, window_end=AT + timedelta(hours=1), baseline_start=AT, numbers={}),
        **({"error_message": "Too many open files"} if recipe.name == "file_leak" else error),
    )
    return PatchRequest(
        opportunity=Opportunity(insight=insight, impact_score=1.0, factors={}, risk=0.1),
        files=(SourceFile(path=PATH, text=text),),
        target_symbols={PATH: defined} if recipe.name == "memoise" else {},
        missing_key_defaults=policy.missing_key_defaults,
        recipes=policy,
    )


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _first_key(tree: ast.Module) -> tuple[int, str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.ctx, ast.Load):
            return node.lineno, str(node.slice.value)
    return 1, "key"


def measured(path: Path) -> dict[str, Tally]:
    """Every recipe over one file."""
    warnings.simplefilter("ignore")
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return {recipe.name: _measured(recipe, str(path), text, tree) for recipe in RECIPES}


def _measured(recipe: Recipe, path: str, text: str, tree: ast.Module) -> Tally:
    request, tally = request_for(recipe, tree, text), Tally(files=1)
    started = time.perf_counter()
    try:
        outcome = recipe.apply(text, path=PATH, request=request)
        tally.times_s.append(time.perf_counter() - started)
        if isinstance(outcome, Refusal):
            tally.refused = 1
            tally.reasons[outcome.reason.rpartition(": ")[2][:60]] += 1
            return tally
        tally.applied = 1
        tally.changed.append((path, text, outcome.source))
        compile(outcome.source, path, "exec", dont_inherit=True)
        if not edits_between(PATH, text, outcome.source):
            tally.broken.append(path)
        if not isinstance(recipe.apply(outcome.source, path=PATH, request=request), Refusal):
            tally.repeated.append(path)
    except SyntaxError:
        tally.broken.append(path)
    except CRASHES as error:
        tally.crashes.append(f"{path}: {type(error).__name__}: {error}"[:300])
    return tally


def lint_delta(changes: Sequence[tuple[str, str, str]]) -> list[str]:
    """`path: code` of what ruff finds more of in the new texts than in the old ones."""
    with tempfile.TemporaryDirectory() as folder:
        for index, (_, old, new) in enumerate(changes):
            (Path(folder) / f"f{index}_old.py").write_text(old, encoding="utf-8")
            (Path(folder) / f"f{index}_new.py").write_text(new, encoding="utf-8")
        command = [str(ROOT / ".venv/bin/ruff"), "check", "--isolated", "--select", LINT, "--output-format", "json"]
        done = subprocess.run([*command, "--exit-zero", "."], cwd=folder, capture_output=True, text=True, check=False)
    found: Counter[tuple[str, str]] = Counter()
    for item in json.loads(done.stdout or "[]"):
        found[Path(item["filename"]).stem, item["code"]] += 1
    return [
        f"{changes[int(stem[1:-4])][0]}: {code}"
        for (stem, code), count in sorted(found.items())
        if stem.endswith("_new") and count > found[stem.replace("_new", "_old"), code]
    ]


def rows(totals: dict[str, Tally]) -> Iterator[str]:
    """The table, one line a recipe."""
    yield "| recipe | files | applied | refused | crashes | broken | lint | not idempotent | p50 ms | p99 ms | max ms |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, tally in totals.items():
        times = sorted(tally.times_s) or [0.0]
        marks = [1000 * times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.99, 1)]
        counts = [tally.files, tally.applied, tally.refused, len(tally.crashes), len(tally.broken)]
        counts += [len(lint_delta(tally.changed)) if tally.changed else 0, len(tally.repeated)]
        yield f"| {name} | " + " | ".join([*map(str, counts), *(f"{mark:.0f}" for mark in marks)]) + " |"


def main() -> None:
    """Print the table, then every crash, break, repetition and new lint error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--show", help="print the changes of this recipe")
    parser.add_argument("--reasons", action="store_true", help="print the commonest refusals")
    options = parser.parse_args()
    totals = {recipe.name: Tally() for recipe in RECIPES}
    with ProcessPoolExecutor(WORKERS) as pool:
        for found in pool.map(measured, sample(options.files), chunksize=4):
            for name, tally in found.items():
                totals[name].add(tally)
    print(describe())
    print("\n".join(rows(totals)))
    for name, tally in totals.items():
        problems = [*tally.crashes, *tally.broken, *tally.repeated]
        for problem in [*problems, *(lint_delta(tally.changed) if tally.changed else [])]:
            print(f"{name}: {problem}")
        if options.reasons:
            print(name, tally.reasons.most_common(6))
        if name == options.show:
            for path, old, new in tally.changed:
                for edit in edits_between(PATH, old, new):
                    print(f"--- {path}\n{edit.search}+++\n{edit.replace}")


if __name__ == "__main__":
    main()
