"""The example application: its history, its bugs, its telemetry, its load and the patch made to be rolled back."""

import ast
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import httpx2
import pytest
from moto.server import ThreadedMotoServer

from examples.target_app import history, load

ROOT = Path(history.__file__).resolve().parents[2]
BAD_PATCH = ROOT / "examples/bad_patch/answer.json"


def git(*arguments: str | Path) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def application_environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


def run_suite(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = application_environment(root)
    return subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, text=True)


@contextmanager
def served(root: Path, **environment: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a checkout; what it wrote to standard output is in the list once it has ended."""
    documents: list[dict[str, Any]] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "meetnotes.app:app", "--port", "0", "--no-access-log"],
        cwd=root,
        env=application_environment(root, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        ready = next(line for line in process.stderr if "running on http://" in line)
        yield ready.split("running on ")[1].split()[0], documents
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    documents.extend(json.loads(line) for line in output.splitlines())


def run_load(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "examples.target_app.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"measured_{path.stem}_{time.monotonic_ns()}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Counted(str):
    """Counts how often it is compared; its own kind comes out of what the application does to it."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other) is True

    def __hash__(self) -> int:
        return str.__hash__(self)

    def strip(self, chars: str | None = None, /) -> "Counted":
        return Counted(super().strip(chars))

    def casefold(self) -> "Counted":
        return Counted(super().casefold())


def calls_of(call: Callable[[], object]) -> int:
    """How many functions and methods it calls, built-in ones too."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("application")
    history.create_repository(folder / "meetnotes.git")
    git("clone", "--quiet", folder / "meetnotes.git", folder / "checkout")
    return folder / "checkout"


@pytest.fixture(scope="module")
def badly_patched(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("patched") / "checkout"
    shutil.copytree(checkout, root)
    for edit in json.loads(BAD_PATCH.read_text())["edits"]:
        path = root / edit["path"]
        assert path.read_text().count(edit["search"]) == 1
        path.write_text(path.read_text().replace(edit["search"], edit["replace"]))
    return root


def test_history_is_the_same_wherever_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = history.create_repository(tmp_path / "here.git")
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = Somebody\n[init]\ndefaultBranch = trunk\n[core]\nautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")

    there = history.create_repository(tmp_path / "deeper" / "there.git")

    assert there == here
    assert git("--git-dir", tmp_path / "deeper/there.git", "rev-parse", "HEAD") == here


def test_history_grows_to_the_source(checkout: Path) -> None:
    authors = git("-C", checkout, "log", "--format=%an <%ae> %cn <%ce>").splitlines()
    files = git("-C", checkout, "ls-files").splitlines()

    assert len(authors) == len(history.COMMITS)
    assert set(authors) == {f"{history.DEVELOPERS} {history.DEVELOPERS}"}
    assert files == history.source_files()
    assert all((checkout / name).read_bytes() == (history.SOURCE / name).read_bytes() for name in files)


def test_existing_repository_is_left_alone(tmp_path: Path) -> None:
    bare = tmp_path / "meetnotes.git"
    head = history.create_repository(bare)
    identity = ("-c", "user.name=Agent", "-c", "user.email=agent@example.com")
    later = git("--git-dir", bare, *identity, "commit-tree", "main^{tree}", "-p", "main", "-m", "Improve")
    git("--git-dir", bare, "update-ref", "refs/heads/main", later)

    again = history.create_repository(bare)

    assert head != later
    assert again == later


def test_another_repository_is_refused(tmp_path: Path) -> None:
    git("init", "--quiet", "--bare", tmp_path / "other.git")

    with pytest.raises(RuntimeError, match=r"other\.git"):
        history.create_repository(tmp_path / "other.git")


def test_own_suite_passes_on_the_bugs(checkout: Path) -> None:
    done = run_suite(checkout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_missing_owner_is_a_located_error_in_the_telemetry(checkout: Path) -> None:
    with served(checkout, RELEASE_ID="r1") as (url, documents), httpx2.Client(base_url=url) as client:
        health = client.get("/healthz").json()
        headers = {"X-Tenant-Id": "meetmind", "X-Request-Id": "q1"}
        failed = client.post("/actions", json={"items": [{"text": "Send it"}]}, headers=headers)
        answered = client.post("/summary", json={"items": [{"text": "Send it"}]}, headers=headers)

    source = (checkout / "meetnotes/actions.py").read_text().splitlines()
    error, healthy = documents
    assert health == {"status": "ok", "release": "r1", "telemetry_dropped": 0}
    assert (failed.status_code, failed.json()) == (500, {"error": "internal"})
    assert answered.json()["by_owner"] == {"unassigned": 1}
    assert error["error"]["type"] == "KeyError"
    assert error["error"]["file"] == "meetnotes/actions.py"
    assert error["error"]["function"] == "action_items"
    assert 'item["owner"]' in source[error["error"]["line"] - 1]
    assert f'File "meetnotes/actions.py", line {error["error"]["line"]}' in error["stack"]
    assert str(checkout) not in error["stack"]
    assert (error["level"], error["tenant_id"], error["request_id"]) == ("ERROR", "meetmind", "q1")
    assert (error["Errors"], healthy["Errors"]) == (1, 0)


def test_telemetry_is_embedded_metrics_in_three_dimension_sets(checkout: Path) -> None:
    with served(checkout, MEETNOTES_NAMESPACE="Test/Notes") as (url, documents):
        httpx2.post(f"{url}/topics", json={"transcript": ["Budget"]}).raise_for_status()

    (metrics,) = documents[0]["_aws"]["CloudWatchMetrics"]
    named = {metric["Name"]: (metric["Unit"], metric["StorageResolution"]) for metric in metrics["Metrics"]}
    assert metrics["Namespace"] == "Test/Notes"
    assert metrics["Dimensions"] == [["component"], ["tenant_id", "component"], ["component", "release"]]
    assert all(key in documents[0] for dimensions in metrics["Dimensions"] for key in dimensions)
    assert named == {"ResponseLatency": ("Milliseconds", 1), "Requests": ("Count", 1), "Errors": ("Count", 1)}
    assert documents[0]["ResponseLatency"] > 0


def test_telemetry_goes_to_the_log_group_where_aws_is_configured(checkout: Path) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    endpoint = f"http://{host}:{port}"
    try:
        with served(checkout, AWS_ENDPOINT_URL=endpoint, MEETNOTES_LOG_GROUP="/test/notes", **keys) as (url, out):
            httpx2.post(f"{url}/summary", json={"items": []}).raise_for_status()
        logs = boto3.client(
            "logs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        (event,) = logs.filter_log_events(logGroupName="/test/notes")["events"]
        logs.close()
    finally:
        server.stop()

    assert json.loads(event["message"])["component"] == "summary"
    assert out == []


def test_load_shows_both_bugs_once_meetings_have_grown(checkout: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    with served(checkout) as (url, documents):
        run = ("--url", url, "--rate", "40", "--duration", "1.5", "--tenants", "meetmind,acme")
        early = run_load(*run, "--growth-after", "60")
        grown = run_load(*run, "--growth-after", "0", "--stats", str(stats))

    assert (early["http_errors"], early["dropped"], grown["dropped"]) == (0, 0, 0)
    assert grown["sent"] == grown["ok"] + grown["http_errors"]
    assert early["sent"] + grown["sent"] == len(documents)
    assert grown["http_errors"] == grown["by_component"]["actions"]["http_errors"] > 0
    assert grown["by_component"]["topics"]["p95_ms"] > 3 * early["by_component"]["topics"]["p95_ms"]
    assert json.loads(stats.read_text())["sent"] == grown["sent"]
    assert {document["tenant_id"] for document in documents} == {"meetmind", "acme"}


def test_load_ended_by_a_signal_loses_no_request(checkout: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    with served(checkout) as (url, documents):
        command = [sys.executable, "-m", "examples.target_app.load", "--url", url, "--stats", str(stats)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 20
            while not (stats.exists() and json.loads(stats.read_text())["ok"]):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.terminate()
            output, _ = process.communicate(timeout=20)

    report = json.loads(output)
    assert process.returncode == 0
    assert report["sent"] == report["ok"] == len(documents)


def test_load_counts_refused_connections_as_dropped() -> None:
    report = run_load("--url", "http://127.0.0.1:1", "--rate", "50", "--duration", "0.2")

    assert report["dropped"] == report["sent"] > 0
    assert report["by_component"]["topics"]["p95_ms"] is None


def test_production_transcripts_bring_out_the_cost_of_list_membership(checkout: Path) -> None:
    words = json.loads(load.transcript(random.Random(1), 1450, 2250))["transcript"]
    topics = imported(checkout / "meetnotes/topics.py")

    Counted.compared = 0
    found = topics.distinct_topics(map(Counted, words))
    with_list = Counted.compared
    Counted.compared = 0
    hashed = list(dict.fromkeys(Counted(word).strip().casefold() for word in words))

    assert found == hashed
    assert with_list > 100 * len(words)


def test_bad_patch_changes_only_the_function_with_the_bug(checkout: Path, badly_patched: Path) -> None:
    answer = json.loads(BAD_PATCH.read_text())
    before, after = (ast.parse((root / "meetnotes/actions.py").read_text()) for root in (checkout, badly_patched))
    changed = [
        old.name
        for old, new in zip(before.body, after.body, strict=True)
        if ast.dump(old) != ast.dump(new) and isinstance(old, ast.FunctionDef)
    ]

    assert set(answer) == {"summary", "edits"}
    assert [set(edit) for edit in answer["edits"]] == [{"path", "search", "replace"}]
    assert {edit["path"] for edit in answer["edits"]} == {"meetnotes/actions.py"}
    assert changed == ["action_items"]


def test_bad_patch_passes_the_suite_and_the_linter(badly_patched: Path) -> None:
    suite = run_suite(badly_patched)
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=badly_patched,
        check=False,
        capture_output=True,
    )

    assert suite.returncode == 0, suite.stdout
    assert lint.returncode == 0, lint.stdout


@pytest.mark.slow
def test_application_and_bad_patch_are_typed(checkout: Path, badly_patched: Path) -> None:
    for root in (checkout, badly_patched):
        done = subprocess.run([sys.executable, "-m", "mypy"], cwd=root, check=False, capture_output=True)

        assert done.returncode == 0, done.stdout


def test_bad_patch_mends_the_error_and_costs_much_more(checkout: Path, badly_patched: Path) -> None:
    ownerless = [{"text": "Send it"}]
    items = json.loads(load.agreed(random.Random(1), ownerless=False))["items"]
    base, patched = (imported(root / "meetnotes/actions.py") for root in (checkout, badly_patched))

    with pytest.raises(KeyError, match="owner"):
        base.action_items(ownerless)
    assert patched.action_items(ownerless) == [{"owner": "unassigned", "text": "Send it", "due": "open"}]
    assert patched.action_items(items) == base.action_items(items)
    assert calls_of(lambda: patched.action_items(items)) > 10 * calls_of(lambda: base.action_items(items))
