"""The collection of sick and healthy services: each is whole, of a known kind, and its own tests pass on its bug."""

import ast
import json
import os
import random
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.sick_apps.catalogue import (
    HEALTHY,
    INSIGHTS,
    SickApp,
    application_table,
    build_repository,
    build_tree,
    read_app,
    read_apps,
    repository_files,
)
from benchmarks.sick_apps.load import read_script
from benchmarks.sick_apps.measure import Seen, effect, seen
from benchmarks.sick_apps.result import result_of
from selfbuild.applications_file import read_applications
from selfbuild.domain.insights import InsightType

APPS = read_apps()
BY_APP = [pytest.param(app, id=app.name) for app in APPS]
KINDS = {
    *("blocking_in_async", "client_per_call", "file_leak", "index_error", "list_membership", "list_pop_front"),
    *("loop_invariant", "missing_key", "missing_timeout", "mutable_default", "n_plus_one", "nested_join"),
    *("none_attribute", "quadratic_copy", "quadratic_count", "quadratic_dedupe", "regex_per_call"),
    *("repeated_computation", "repeated_lookup", "retry_missing", "unbounded_cache", "unbounded_list"),
    *("value_error", "zero_division"),
}


def a_seen(**changes: object) -> Seen:
    fields = {"requests": 400, "errors": 0, "dropped": 0, "p50_ms": 10.0, "p95_ms": 20.0, "gauge": 5.0}
    return Seen(**{**fields, "growth_per_s": 1.0, **changes})  # type: ignore[arg-type]


def an_improvement(component: str, **changes: object) -> dict[str, object]:
    return {
        "affected_components": [component],
        "insight_type": "error_pattern",
        "status": "deployed",
        "provider": "recipes",
        "model": "missing_key",
        "quality_score": 1.0,
        "checks": [{"verdict": "passed"}],
        "release": {"release_id": "r1"},
        "verdict": "PASS",
        "judgement": {"goal": {"outcome": "improved", "reason": "the errors are gone"}},
        "reason": "",
        "attempts": [],
        **changes,
    }


def a_cycle(component: str, *improvements: dict[str, object]) -> dict[str, object]:
    insight = {"component": component, "insight_type": "error_pattern", "description": "fails"}
    return {
        "status": "completed",
        "opportunities": [{"insight": insight}],
        "improvements": list(improvements),
        "notes": [],
        "execution_time_seconds": 60.0,
    }


def app_of(kind: str) -> SickApp:
    return next(app for app in APPS if app.kind == kind)


def test_collection_covers_the_kinds() -> None:
    counts = Counter(app.kind for app in APPS)

    assert set(counts) - {HEALTHY} == KINDS
    assert sum(counts.values()) - counts[HEALTHY] >= 20
    assert counts[HEALTHY] >= 5


def test_every_symptom_is_one_that_insights_can_name() -> None:
    known = {kind.value for kind in InsightType}

    assert {name for names in INSIGHTS.values() for name in names} <= known


@pytest.mark.parametrize("app", BY_APP)
def test_service_is_whole(app: SickApp) -> None:
    files = repository_files(app)
    code = {name: text for name, text in files.items() if name.endswith(".py")}
    trees = {name: ast.parse(text, name) for name, text in code.items()}

    assert f"{app.package}/app.py" in files
    assert "shell/service.py" in files
    assert any(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for name, tree in trees.items()
        if name.startswith("tests/test_")
        for node in tree.body
    )
    assert (app.folder / "upstream.py").exists() == app.upstream


@pytest.mark.parametrize("app", BY_APP)
def test_load_asks_for_components_that_are_served(app: SickApp) -> None:
    script, rng = read_script(app.folder / "load.py"), random.Random(7)
    requests = [script.request(rng, sick) for sick in (False, True) for _ in range(50)]
    served = (app.folder / app.package / "app.py").read_text()

    paths = {path for path, _ in requests}
    assert f"/{app.component}" in paths
    assert all(f'"{path.strip("/")}":' in served for path in paths)
    assert all(json.loads(json.dumps(body)) == body for _, body in requests)


def test_applications_file_of_the_collection_is_accepted(tmp_path: Path) -> None:
    tables = [
        application_table(app, repository=tmp_path / app.name, control_port=9, workers=2, canary_workers=1)
        for app in APPS
    ]
    (tmp_path / "applications.toml").write_text("\n".join(tables))

    applications = read_applications(tmp_path / "applications.toml")

    assert [each.name for each in applications] == [app.name for app in APPS]
    assert all(each.recipes.model_dump() for each in applications)


def test_wrong_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "sick.toml").write_text('kind = "missing_key"\ncolour = "red"\n')

    with pytest.raises(ValueError, match="colour"):
        read_app(tmp_path)


def test_repository_holds_one_commit_of_the_whole_service(tmp_path: Path) -> None:
    app = app_of("missing_key")

    sha = build_repository(app, tmp_path / "app.git")

    listed = subprocess.run(
        ["git", "-C", str(tmp_path / "app.git"), "ls-tree", "-r", "--name-only", sha],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(listed.stdout.split()) == sorted(repository_files(app))


@pytest.mark.slow
@pytest.mark.parametrize("app", BY_APP)
def test_own_tests_pass_on_the_bug(app: SickApp, tmp_path: Path) -> None:
    build_tree(app, tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_errors_that_vanish_are_an_improvement() -> None:
    assert effect(a_seen(errors=60), a_seen(errors=1), symptom="errors").verdict == "improved"
    assert effect(a_seen(errors=60), a_seen(errors=50), symptom="errors").verdict == "unchanged"


def test_errors_within_chance_are_not_worse() -> None:
    assert effect(a_seen(errors=40), a_seen(errors=52), symptom="errors").verdict == "unchanged"
    assert effect(a_seen(errors=40), a_seen(errors=90), symptom="errors").verdict == "worse"


@pytest.mark.parametrize(
    ("p95_ms", "verdict"),
    [
        pytest.param(13.0, "improved", id="lower"),
        pytest.param(19.0, "unchanged", id="alike"),
        pytest.param(40.0, "unchanged", id="noise of some ms"),
        pytest.param(90.0, "worse", id="much higher"),
    ],
)
def test_latency_is_compared_by_its_p95(p95_ms: float, verdict: str) -> None:
    assert effect(a_seen(), a_seen(p95_ms=p95_ms), symptom="latency").verdict == verdict


def test_growth_that_ends_is_an_improvement() -> None:
    assert effect(a_seen(), a_seen(growth_per_s=0.1), symptom="growth").verdict == "improved"
    assert effect(a_seen(), a_seen(growth_per_s=0.9), symptom="growth").verdict == "unchanged"
    assert effect(a_seen(), a_seen(growth_per_s=None), symptom="growth").verdict == "unchanged"


def test_too_little_traffic_says_nothing() -> None:
    assert effect(a_seen(requests=5), a_seen(), symptom="errors").verdict == "unknown"


def test_stretch_counts_its_own_component_and_the_growth_of_each_process() -> None:
    requests = [
        {"at": float(n), "component": "a", "status": 500 if n == 3 else 200, "latency_ms": n} for n in range(10)
    ]
    others = [{"at": 4.0, "component": "b", "status": None, "latency_ms": 9.0}]
    levels = [{"at": float(n), "pid": 1, "Memory": 50.0 + 2 * n} for n in range(10)]

    found = seen([*requests, *others, *levels], start=0.0, end=10.0, component="a", gauge="Memory")

    assert (found.requests, found.errors, found.dropped) == (10, 1, 0)
    assert (found.p50_ms, found.p95_ms) == (4, 9)
    assert (found.gauge, found.growth_per_s) == (68.0, 2.0)


def test_arms_of_a_trial_are_told_apart_by_their_release() -> None:
    common = {"at": 1.0, "component": "a"}
    samples = [
        *({**common, "status": 200, "latency_ms": 5.0, "release": "canary"} for _ in range(50)),
        *({**common, "status": 500, "latency_ms": 50.0, "release": "baseline"} for _ in range(60)),
        {**common, "status": None, "latency_ms": 9.0, "release": "none: ReadTimeout"},
    ]

    canary, baseline, both = (
        seen(samples, start=0.0, end=2.0, component="a", gauge=None, release=release)
        for release in ("canary", "baseline", None)
    )

    assert (canary.requests, canary.errors, canary.p95_ms) == (50, 0, 5.0)
    assert (baseline.requests, baseline.errors) == (60, 60)
    assert (both.requests, both.errors, both.dropped) == (111, 61, 1)


def test_goal_reached_and_measured_is_improved() -> None:
    app = app_of("missing_key")
    before, after = a_seen(errors=60), a_seen()
    measured = effect(before, after, symptom=app.symptom)

    result = result_of(
        app, a_cycle(app.component, an_improvement(app.component)), before=before, after=after, effect=measured
    )

    assert (result.rank, result.recipe, result.gated, result.deployed) == (1, "missing_key", True, True)
    assert (result.outcome, result.stopped) == ("improved", "")


def test_refused_patch_names_the_gate() -> None:
    app = app_of("missing_key")
    refused = an_improvement(
        app.component,
        status="rejected",
        release=None,
        verdict=None,
        judgement=None,
        checks=[{"verdict": "failed"}],
        reason="types: wrong",
    )
    measured = effect(a_seen(errors=60), a_seen(errors=60), symptom="errors")

    result = result_of(app, a_cycle(app.component, refused), before=a_seen(), after=a_seen(), effect=measured)

    assert (result.gated, result.deployed, result.outcome) == (False, False, "not improved")
    assert result.stopped == "gate: types: wrong"


def test_healthy_service_that_got_a_release_is_touched() -> None:
    app = app_of(HEALTHY)
    cycle = a_cycle(app.component, an_improvement(app.component, status="rolled_back"))

    result = result_of(
        app, cycle, before=a_seen(), after=a_seen(), effect=effect(a_seen(), a_seen(), symptom=app.symptom)
    )

    assert (result.outcome, result.touched) == ("touched", True)


def test_healthy_service_without_findings_is_untouched() -> None:
    app = app_of(HEALTHY)
    cycle = {**a_cycle(app.component), "opportunities": []}

    result = result_of(
        app, cycle, before=a_seen(), after=a_seen(), effect=effect(a_seen(), a_seen(), symptom=app.symptom)
    )

    assert (result.detected, result.outcome) == (None, "untouched")


def test_policies_name_what_the_services_hold() -> None:
    for app in APPS:
        source = " ".join(repository_files(app).values())
        names = [name for table in app.recipes.values() for name in table]
        assert all(name.rpartition(".")[2] in source for name in names), app.name


def test_sick_toml_is_toml_for_every_service() -> None:
    for app in APPS:
        assert tomllib.loads((app.folder / "sick.toml").read_text())["shows"] == app.shows
