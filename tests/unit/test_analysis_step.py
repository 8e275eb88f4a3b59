"""The step `analyze` over fakes: the place of an error in the repository, the charts, a repository that is gone."""

from datetime import timedelta
from pathlib import Path

import pytest

from activities.analysis import AnalysisActivities
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.insights import Chart
from selfbuild.domain.telemetry import ErrorGroup, Measure, Series, TelemetryWindow
from tests.builders import NOON, a_policy, an_application
from tests.fakes.repository import FakeRepository
from workflows import steps

STACK = (
    "Traceback (most recent call last):\n"
    '  File "/var/task/shop/actions.py", line 40, in owner\n'
    '    return item["owner"]\n'
    "KeyError: 'owner'\n"
)
FILES = {"shop/actions.py": '# new first line\ndef owner(item):\n    return item["owner"]\n', "shop/__init__.py": ""}


def a_window() -> TelemetryWindow:
    errors = {NOON.timestamp() + 60 * minute: 2.0 for minute in range(10)}
    series = Series.of(errors, period_s=60, component="actions", measure=Measure.ERRORS, unit="Count")
    group = ErrorGroup(
        fingerprint="f" * 16,
        component="actions",
        error_type="KeyError",
        message="'owner'",
        count=20,
        first_seen=NOON,
        last_seen=NOON,
        stack=STACK,
    )
    return TelemetryWindow(
        baseline_start=NOON - timedelta(hours=1),
        start=NOON,
        end=NOON + timedelta(minutes=10),
        period_s=60,
        series=(series,),
        error_groups=(group,),
    )


async def request_in(artifacts: FolderArtifacts) -> steps.AnalyzeRequest:
    ref = await artifacts.put(a_window().model_dump_json().encode())
    return steps.AnalyzeRequest(application=an_application(), telemetry=ref, policy=a_policy())


async def test_an_error_of_an_installed_release_is_mapped_to_the_line_of_the_head(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)
    step = AnalysisActivities(artifacts, FakeRepository(FILES))

    analysis = await step.analyze(await request_in(artifacts))

    (insight,) = analysis.insights
    assert insight.location == CodeLocation(path="shop/actions.py", line=3, function="owner")
    assert analysis.opportunities[0].insight == insight
    assert insight.evidence.chart is not None
    chart = Chart.model_validate_json(await artifacts.get(insight.evidence.chart))
    assert chart.values == (2.0,) * 10


async def test_a_repository_that_is_gone_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts, repository = FolderArtifacts(tmp_path), FakeRepository(FILES)

    async def gone(*_: object, **__: object) -> tuple[()]:
        raise Unreachable("no route")

    monkeypatch.setattr(repository, "history", gone)
    analysis = await AnalysisActivities(artifacts, repository).analyze(await request_in(artifacts))

    assert len(analysis.insights) == 1
    assert any("no route" in note for note in analysis.notes)
