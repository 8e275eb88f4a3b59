"""What the status says of what was measured."""

import pytest

from selfbuild.domain.applications import Mode
from selfbuild.domain.cycles import ImprovementStatus
from selfbuild.live import PendingStep
from selfbuild.reading import RecordedState, RunningState
from selfbuild.status import CLOUDWATCH_STEPS, LLM_STEPS, breaker_state, evolution_level, system_status
from tests.fakes.operations import a_measurement
from tests.fakes.values import a_cycle, an_application, an_improvement


def a_step(name: str = "generate", *, attempt: int, running: bool) -> PendingStep:
    return PendingStep(name=name, activity_id=name, attempt=attempt, running=running)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], "closed", id="nothing-runs"),
        pytest.param([a_step(attempt=1, running=True)], "closed", id="first-attempt"),
        pytest.param([a_step(attempt=2, running=False)], "open", id="waits-after-failure"),
        pytest.param([a_step(attempt=2, running=True)], "half_open", id="next-attempt"),
        pytest.param([a_step("collect_telemetry", attempt=4, running=False)], "closed", id="other-dependency"),
        pytest.param(None, None, id="temporal-does-not-say"),
    ],
)
def test_breaker_follows_the_attempts(steps: list[PendingStep] | None, expected: str | None) -> None:
    assert breaker_state(steps, LLM_STEPS) == expected


def test_breaker_of_cloudwatch_is_its_own() -> None:
    waiting = [a_step("monitor", attempt=3, running=False)]

    assert (breaker_state(waiting, CLOUDWATCH_STEPS), breaker_state(waiting, LLM_STEPS)) == ("open", "closed")


@pytest.mark.parametrize(
    ("mode", "autonomous", "statuses", "level"),
    [
        (Mode.OBSERVE, True, [], 0),
        (Mode.AUTO, False, [], 1),
        (Mode.AUTO, True, [], 2),
        (Mode.AUTO, True, [ImprovementStatus.KEPT], 3),
        (Mode.AUTO, True, [ImprovementStatus.KEPT, ImprovementStatus.ROLLED_BACK], 2),
        (Mode.AUTO, True, [ImprovementStatus.KEPT] * 10 + [ImprovementStatus.ROLLED_BACK], 3),
    ],
)
def test_evolution_level_has_to_be_earned(
    mode: Mode, autonomous: bool, statuses: list[ImprovementStatus], level: int
) -> None:
    flags = {"enable_self_building": True, "enable_autonomous_improvements": autonomous}
    reports = [an_improvement(status=status) for status in statuses]

    assert evolution_level([an_application(mode=mode)], flags, reports) == level


def test_healthy_needs_a_worker_and_closed_breakers() -> None:
    waiting = (a_step("collect_telemetry", attempt=2, running=False),)

    healths = [
        system_status(a_measurement(running=running)).system_health
        for running in (
            RunningState(pollers=1, pending=()),
            RunningState(pollers=0, pending=()),
            RunningState(pollers=1, pending=waiting),
            RunningState(problem="Temporal cannot be reached"),
        )
    ]

    assert healths == ["healthy", "degraded", "degraded", "unhealthy"]


def test_what_does_not_exist_is_not_claimed() -> None:
    streamer = system_status(a_measurement()).components.cloudwatch_streamer

    assert (streamer.status, streamer.streams_active, streamer.stream_lag_seconds) == ("not_running", 0, None)
    assert "later release" in streamer.reason


def test_buffer_holds_the_newest_cycle_of_each_application() -> None:
    cycles = (
        a_cycle("cycle_3", telemetry_events=0),
        a_cycle("cycle_2", telemetry_events=50),
        a_cycle("cycle_1", telemetry_events=40),
        a_cycle("cycle_0", telemetry_events=7, application="other"),
    )

    status = system_status(a_measurement(recorded=RecordedState(cycles=cycles)))

    assert status.components.learning_engine.telemetry_buffer_size == 57


def test_metrics_count_the_last_day() -> None:
    recorded = RecordedState(
        cycles=(a_cycle(aws_api_calls=4),),
        improvements=(an_improvement("i-1"), an_improvement("i-2", status=ImprovementStatus.ROLLED_BACK)),
    )

    metrics = system_status(a_measurement(recorded=recorded)).metrics

    assert (metrics.improvements_deployed, metrics.improvements_rolled_back) == (1, 1)
    assert (metrics.improvement_cycles_completed, metrics.cloudwatch_api_calls) == (1, 4)
    assert metrics.cycle_duration_seconds == 180.0
