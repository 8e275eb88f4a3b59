"""Every failure of every call that the CloudWatch source makes: which error is raised, and what follows."""

from collections.abc import Iterator

import pytest

from benchmarks.source_faults import FAULTS, LOGS, METRICS, Scene
from localaws.server import LocalAws

RAISED = {
    "throttled (HTTP 400)": ("Throttled", True),
    "throttled once": ("complete", None),
    "access denied": ("AccessDenied", False),
    "session expired": ("AccessDenied", False),
    "wrong signature": ("AccessDenied", False),
    "server error": ("Unreachable", True),
    "server error once": ("complete", None),
    "connection reset": ("Unreachable", True),
    "no answer in time": ("Unreachable", True),
    "truncated answer": ("MalformedAnswer", False),
    "truncated once": ("complete", None),
}
EVERY_RUN = {
    "GetMetricData": frozenset(FAULTS),
    "StartQuery": {"access denied", "session expired", "truncated answer"},
    "FilterLogEvents": {"access denied", "connection reset", "truncated once"},
}
CASES = [(fault, operation) for operation in (*METRICS, *LOGS) for fault in FAULTS]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch, LocalAws(port=0) as server:
        for name, value in Scene.environment.items():
            patch.setenv(name, value)
        yield Scene(server)


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        pytest.param(fault, operation, marks=() if fault in EVERY_RUN.get(operation, ()) else pytest.mark.slow)
        for fault, operation in CASES
    ],
)
def test_a_fault_has_its_consequence(scene: Scene, fault: str, operation: str) -> None:
    expected = RAISED[fault]
    if fault == "access denied" and operation in LOGS:
        expected = ("complete, with a note", None)

    outcome = scene.outcome(fault, operation)

    assert (outcome.result, outcome.retried) == expected
    assert operation in outcome.text or outcome.result == "complete"


def test_a_closed_port_and_missing_keys_are_told_apart(scene: Scene) -> None:
    refused, keyless = scene.refused(), scene.without_keys()

    assert (refused.result, refused.retried) == ("Unreachable", True)
    assert (keyless.result, keyless.retried) == ("AccessDenied", False)
    assert "give the worker AWS credentials" in keyless.text


def test_a_missing_permission_is_named_with_its_remedy(scene: Scene) -> None:
    outcome = scene.outcome("access denied", "StartQuery")

    assert outcome.text.endswith("grant the worker's role logs:StartQuery")
