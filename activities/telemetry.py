"""Steps that read CloudWatch: collect a window, freeze thresholds, look at a canary."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import activity

from selfbuild.analysis.goal import goal
from selfbuild.analysis.judge import JudgePolicy, judge
from selfbuild.domain.releases import Judgement
from selfbuild.ports import Artifacts, TelemetrySource
from selfbuild.pricing import aws_cost_usd
from selfbuild.releases import label_of
from workflows import steps


class TelemetryActivities:
    """Queue `aws`."""

    def __init__(self, source: TelemetrySource, artifacts: Artifacts) -> None:
        self._source = source
        self._artifacts = artifacts

    @activity.defn(name=steps.COLLECT.name)
    async def collect_telemetry(self, request: steps.CollectRequest) -> steps.Collected:
        """Collect a window and keep it as an artifact."""
        window = await asyncio.to_thread(
            self._source.collect,
            request.application,
            baseline_start=request.baseline_start,
            start=request.start,
            end=request.end,
            period_s=request.period_s,
        )
        return steps.Collected(
            telemetry=await self._artifacts.put(window.model_dump_json().encode()),
            series_count=len(window.series),
            sample_count=sum(int(series.present.sum()) for series in window.series),
            error_group_count=len(window.error_groups),
            log_events=window.log_events_matched,
            api_calls=window.api_calls,
            cost_usd=aws_cost_usd(
                metrics_requested=window.metrics_requested,
                log_bytes_scanned=window.log_bytes_scanned,
                api_calls=window.api_calls,
            ),
            source=window.source,
        )

    @activity.defn(name=steps.FREEZE.name)
    async def freeze_baseline(self, request: steps.FreezeRequest) -> steps.Frozen:
        """The p95 of each component as the baseline served it: slower than that is slow."""
        slow_ms = await asyncio.to_thread(
            self._source.latency_p95_ms,
            request.application,
            release=label_of(request.baseline_sha),
            start=request.start,
            end=request.end,
        )
        return steps.Frozen(slow_ms=slow_ms)

    @activity.defn(name=steps.MONITOR.name)
    async def monitor(self, request: steps.MonitorRequest) -> Judgement:
        """Compare both arms over the closed periods since the deploy."""
        start = _next_period(request.release.deployed_at, request.policy.judge_period_s)
        buckets = await asyncio.to_thread(
            self._source.arms,
            request.application,
            canary=label_of(request.release.sha),
            baseline=label_of(request.release.baseline_sha),
            slow_ms=request.slow_ms,
            start=start,
            end=request.until,
            period_s=request.policy.judge_period_s,
        )
        judgement = judge(buckets, policy=JudgePolicy.of(request.policy), final=request.final)
        return judgement.model_copy(
            update={
                "goal": goal(buckets, component=request.component, expected_kind=request.expected_kind),
                "evaluated_until": request.until,
            }
        )


def _next_period(moment: datetime, period_s: int) -> datetime:
    """The first period that lies wholly after `moment`: the one of the deploy mixes before and after."""
    seconds = (int(moment.timestamp()) // period_s + 1) * period_s
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
