"""What the status says of what was measured."""

from datetime import timedelta

import pytest

from selfbuild.domain.applications import Mode
from selfbuild.domain.cycles import ImprovementStatus
from selfbuild.domain.streams import StreamState
from selfbuild.domain.workers import WorkerFacts
from selfbuild.live import PendingStep
from selfbuild.reading import RecordedState, RunningState
from selfbuild.status import CLOUDWATCH_STEPS, LLM_STEPS, breaker_state, evolution_level, system_status
from tests.fakes.operations import a_measurement
from tests.fakes.values import NOON, a_cycle, an_application, an_improvement


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


STREAMING = {"enable_self_building": True, "enable_cloudwatch_streaming": True}


def a_stream(**fields: object) -> StreamState:
    state = StreamState(
        tenant_id="acme",
        application="shop",
        cursor=NOON,
        updated_at=NOON,
        interval_s=60,
        lag_s=2.5,
        by_minute={int(NOON.timestamp() // 60): 40},
        buffered_events=7,
    )
    return state.model_copy(update=fields)


def test_what_does_not_run_is_not_claimed() -> None:
    streamer = system_status(a_measurement(feature_flags=STREAMING)).components.cloudwatch_streamer

    assert (streamer.status, streamer.streams_active, streamer.stream_lag_seconds) == ("not_running", 0, None)


def test_streaming_that_is_off_says_so() -> None:
    streamer = system_status(a_measurement()).components.cloudwatch_streamer

    assert streamer.status == "disabled"
    assert "ENABLE_CLOUDWATCH_STREAMING" in streamer.reason


def test_a_collection_shows_its_lag_its_events_and_its_buffer() -> None:
    measured = a_measurement(
        feature_flags=STREAMING,
        recorded=RecordedState(streams=(a_stream(),)),
        running=RunningState(pollers=1, pending=(), streams=("stream/acme/shop",)),
    )

    components = system_status(measured).components

    streamer = components.cloudwatch_streamer
    assert (streamer.status, streamer.streams_active, streamer.source) == ("active", 1, "cloudwatch")
    assert (streamer.stream_lag_seconds, streamer.events_processed_last_hour) == (2.5, 40)
    assert components.learning_engine.telemetry_buffer_size == 7


def test_a_stand_in_for_cloudwatch_is_marked() -> None:
    measured = a_measurement(
        feature_flags=STREAMING,
        recorded=RecordedState(streams=(a_stream(source="otlp-files"),)),
        running=RunningState(pollers=1, pending=(), streams=("stream/acme/shop",)),
    )

    assert system_status(measured).components.cloudwatch_streamer.source == "otlp-files"


def test_a_collection_that_fails_says_why_and_opens_the_breaker() -> None:
    failing = PendingStep(
        name="stream_telemetry", activity_id="s", attempt=4, running=False, last_failure="AccessDenied: grant it"
    )
    measured = a_measurement(
        feature_flags=STREAMING,
        recorded=RecordedState(
            streams=(a_stream(cursor=NOON - timedelta(minutes=10), updated_at=NOON - timedelta(minutes=10)),)
        ),
        running=RunningState(pollers=1, pending=(failing,), streams=("stream/acme/shop",)),
    )

    status = system_status(measured)

    streamer = status.components.cloudwatch_streamer
    assert (streamer.status, streamer.circuit_breaker_state) == ("failing", "open")
    assert "AccessDenied: grant it" in streamer.reason
    assert streamer.stream_lag_seconds == 600
    assert status.system_health == "degraded"


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


def test_sandbox_is_what_the_newest_worker_found() -> None:
    facts = WorkerFacts(
        host="a",
        queue="sandbox",
        written_at=NOON,
        sandbox_level="landlock",
        enforced=("network",),
        missing=("files: x",),
    )

    components = system_status(a_measurement(recorded=RecordedState(workers=(facts,)))).components

    assert (components.sandbox.status, components.sandbox.level) == ("incomplete", "landlock")
    assert components.sandbox.missing == ("files: x",)


def test_sandbox_is_unknown_where_no_worker_has_told() -> None:
    assert system_status(a_measurement(recorded=RecordedState())).components.sandbox.status == "unknown"
