"""Step `analyze`: from a collected window to ranked opportunities."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from selfbuild.analysis.analyze import examine
from selfbuild.analysis.source_map import locate
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import SelfBuildError
from selfbuild.domain.insights import Analysis
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import ErrorGroup, TelemetryWindow
from selfbuild.ports import Artifacts, Repository
from workflows import steps

MAX_COMMITS = 200
"""Newest commits that a regression may have begun with."""
MAX_NAMED_FILES = 100
"""Files whose names stand in tracebacks; their texts correct line numbers of another release."""


class AnalysisActivities:
    """Queue `sandbox`, since it burns CPU."""

    def __init__(self, artifacts: Artifacts, repository: Repository) -> None:
        self._artifacts = artifacts
        self._repository = repository

    @activity.defn(name=steps.ANALYZE.name)
    async def analyze(self, request: steps.AnalyzeRequest) -> Analysis:
        """Insights and opportunities, worst first; the chart behind each is kept as an artifact."""
        stored = await self._artifacts.get(request.telemetry)
        window = await asyncio.to_thread(TelemetryWindow.model_validate_json, stored)
        commits: tuple[CommitInfo, ...] = ()
        try:
            commits = await self._repository.history(request.application, limit=MAX_COMMITS)
            groups = await self._placed(request.application, window.error_groups, head=commits[0].sha)
            window = window.model_copy(update={"error_groups": groups})
        except SelfBuildError as error:
            note = f"the repository cannot be read, so no commit is named and no place is looked up: {error}"
            window = window.model_copy(update={"notes": (*window.notes, note)})
        analysis, charts = await asyncio.to_thread(
            examine, window, policy=request.policy, application=request.application, commits=commits
        )
        refs = {name: await self._artifacts.put(chart.model_dump_json().encode()) for name, chart in charts.items()}
        return analysis.with_charts(refs)

    async def _placed(
        self, application: Application, groups: Sequence[ErrorGroup], *, head: str
    ) -> tuple[ErrorGroup, ...]:
        """The groups with the place in the repository that their tracebacks name, wherever the release ran."""
        stacks = " ".join(group.stack or "" for group in groups)
        if not stacks.strip():
            return tuple(groups)
        paths = await self._repository.list_files(application, head)
        named = [path for path in paths if path.rpartition("/")[2] in stacks][:MAX_NAMED_FILES]
        texts = {file.path: file.text for file in await self._repository.read(application, head, named)}

        def place(group: ErrorGroup) -> ErrorGroup:
            found = locate(paths, group.stack, text_of=texts.get) if group.stack else None
            return group if found is None else group.model_copy(update={"location": found})

        return tuple(await asyncio.to_thread(lambda: [place(group) for group in groups]))
