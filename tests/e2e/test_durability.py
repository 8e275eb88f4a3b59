"""Killed at the worst moments, a cycle still ends once: one release commit, nothing live and unjudged, no orphan."""

from typing import Any

import pytest

from tests.e2e.conftest import Run, StackFactory

pytestmark = pytest.mark.timeout(600)


def kept_once(run: Run, cycle: dict[str, Any]) -> None:
    """What must hold after a cycle with one good patch."""
    assert len(cycle["improvements"]) == 1, f"{cycle}\n{run.logs()}"
    (improvement,) = cycle["improvements"]
    assert cycle["outcome"] == "improved", f"{improvement['reason']}\n{run.logs()}"
    release = improvement["release"]
    assert improvement["status"] == "deployed"
    assert run.trailers("Release-Id") == [release["release_id"]]
    assert run.trailers("Reverts-Release") == []
    target = run.target()
    assert target["canary"] is None
    assert target["baseline"]["sha"] == release["sha"]


def rolled_back_once(run: Run, cycle: dict[str, Any]) -> None:
    """What must hold after a cycle with a bad patch."""
    (improvement,) = cycle["improvements"]
    assert cycle["outcome"] == "rolled_back", f"{improvement['reason']}\n{run.logs()}"
    release = improvement["release"]
    assert run.trailers("Release-Id") == [release["release_id"]]
    assert run.trailers("Reverts-Release") == [release["release_id"]]
    target = run.target()
    assert target["canary"] is None
    assert target["baseline"]["sha"] == release["baseline_sha"]


def kill_worker_in_each(run: Run, steps: list[str]) -> None:
    """Wait for each hold, kill the worker there, start another."""
    folder = run.stack.plan.state.parent
    for step in steps:
        run.until((folder / step).exists)
        run.kill("worker")
        run.stack.start_worker()


def test_worker_killed_after_the_deploy_took_effect_releases_once(run_stack: StackFactory) -> None:
    with run_stack(hold="deploy") as run:
        cycle_id = run.start_cycle()
        kill_worker_in_each(run, ["deploy"])

        report = run.ended(cycle_id)

        kept_once(run, report)
        assert run.load()["dropped"] == 0


@pytest.mark.slow
def test_worker_killed_in_every_phase_releases_once(run_stack: StackFactory) -> None:
    steps = ["collect_telemetry", "analyze", "generate", "validate", "deploy", "monitor", "promote"]
    with run_stack(hold=",".join(steps)) as run:
        cycle_id = run.start_cycle()
        kill_worker_in_each(run, steps)

        kept_once(run, run.ended(cycle_id))


@pytest.mark.slow
def test_server_killed_in_monitoring_and_worker_in_rollback_reverts_once(run_stack: StackFactory) -> None:
    with run_stack(hold="monitor,rollback", bad_patch=True) as run:
        cycle_id = run.start_cycle()
        run.until((run.stack.plan.state.parent / "monitor").exists)
        run.kill("temporal")
        run.kill("worker")
        run.stack.start_temporal()
        run.stack.start_worker()
        kill_worker_in_each(run, ["rollback"])

        report = run.ended(cycle_id)

        rolled_back_once(run, report)
        assert run.load()["dropped"] == 0


@pytest.mark.slow
def test_cycle_goes_on_after_everything_was_killed(run_stack: StackFactory) -> None:
    with run_stack(hold="monitor") as run:
        cycle_id = run.start_cycle()
        run.until((run.stack.plan.state.parent / "monitor").exists)
        for child in reversed(list(run.stack.children.started)):
            run.kill(child.name)
        plan = run.stack.plan

    with run_stack(ports=plan.ports, state=plan.state) as again:
        kept_once(again, again.ended(cycle_id))
