"""Step `analyze`: from a collected window to ranked opportunities."""

import asyncio

from temporalio import activity

from selfbuild.analysis.analyze import analyze
from selfbuild.domain.insights import Analysis
from selfbuild.domain.telemetry import TelemetryWindow
from selfbuild.ports import Artifacts
from workflows import steps


class AnalysisActivities:
    """Queue `sandbox`, since it burns CPU."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    @activity.defn(name=steps.ANALYZE.name)
    async def analyze(self, request: steps.AnalyzeRequest) -> Analysis:
        """Insights and opportunities, worst first."""
        window = TelemetryWindow.model_validate_json(await self._artifacts.get(request.telemetry))
        return await asyncio.to_thread(analyze, window, policy=request.policy, application=request.application)
