"""Records in memory, for tests of what uses them. It meets the same contract suite as the SQL store."""

from collections.abc import Sequence
from datetime import datetime

from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CycleReport, ImprovementReport
from selfbuild.domain.insights import Insight
from selfbuild.domain.releases import ReleaseState
from selfbuild.domain.streams import StreamState
from selfbuild.domain.workers import WorkerFacts
from selfbuild.ports import LedgerEntry


class FakeRecords:
    """Implements `ports.Records`."""

    def __init__(self) -> None:
        self._cycles: dict[str, CycleReport] = {}
        self._improvements: dict[str, ImprovementReport] = {}
        self._insights: dict[tuple[str, str, str], Insight] = {}
        self._ledger: dict[str, LedgerEntry] = {}
        self._streams: dict[tuple[str, str], StreamState] = {}
        self._barred: dict[tuple[str, str], str] = {}
        self._workers: dict[tuple[str, str], WorkerFacts] = {}

    async def save_cycle(self, report: CycleReport) -> None:
        self._cycles[report.cycle_id] = report

    async def save_improvement(self, report: ImprovementReport) -> None:
        self._improvements[report.improvement_id] = report

    async def save_insights(self, application: Application, cycle_id: str, insights: Sequence[Insight]) -> None:
        for insight in insights:
            self._insights[application.tenant_id, application.name, insight.insight_id] = insight

    async def cycle(self, cycle_id: str) -> CycleReport | None:
        return self._cycles.get(cycle_id)

    async def cycles(self, *, tenants: Sequence[str] | None, limit: int = 50) -> tuple[CycleReport, ...]:
        mine = [each for each in self._cycles.values() if tenants is None or each.tenant_id in tenants]
        return tuple(sorted(mine, key=lambda each: each.started_at, reverse=True)[:limit])

    async def improvement(self, improvement_id: str) -> ImprovementReport | None:
        return self._improvements.get(improvement_id)

    async def improvements(
        self, *, tenants: Sequence[str] | None, cycle_id: str | None = None, limit: int = 50
    ) -> tuple[ImprovementReport, ...]:
        mine = [
            each
            for each in self._improvements.values()
            if (tenants is None or each.tenant_id in tenants) and (cycle_id is None or each.cycle_id == cycle_id)
        ]
        mine.sort(key=lambda each: each.improvement_id)
        return tuple(sorted(mine, key=lambda each: each.started_at, reverse=True)[:limit])

    async def insights(
        self,
        *,
        tenants: Sequence[str] | None,
        since: datetime,
        metric_name: str | None = None,
        limit: int = 200,
    ) -> tuple[tuple[str, Insight], ...]:
        found = [
            (tenant, insight)
            for (tenant, _, _), insight in self._insights.items()
            if (tenants is None or tenant in tenants)
            and insight.evidence.window_end >= since
            and (metric_name is None or _mentions(insight, metric_name.lower()))
        ]
        return tuple(sorted(found, key=lambda pair: pair[1].evidence.window_end, reverse=True)[:limit])

    async def save_stream(self, state: StreamState) -> None:
        self._streams[state.tenant_id, state.application] = state

    async def streams(self, *, tenants: Sequence[str] | None) -> tuple[StreamState, ...]:
        return tuple(s for (tenant, _), s in sorted(self._streams.items()) if tenants is None or tenant in tenants)

    async def save_worker(self, facts: WorkerFacts) -> None:
        self._workers[facts.host, facts.queue] = facts

    async def forget_worker(self, host: str, queue: str) -> None:
        self._workers.pop((host, queue), None)

    async def workers(self) -> tuple[WorkerFacts, ...]:
        known = sorted(self._workers.values(), key=lambda each: (each.host, each.queue))
        return tuple(sorted(known, key=lambda each: each.written_at, reverse=True))

    async def ledger_put(self, entry: LedgerEntry) -> LedgerEntry:
        known = self._ledger.get(entry.release_id)
        if known is not None and known.state is ReleaseState.ROLLED_BACK:
            return known
        self._ledger[entry.release_id] = entry
        return entry

    async def ledger_get(self, release_id: str) -> LedgerEntry | None:
        return self._ledger.get(release_id)

    async def ledger_open(self) -> tuple[LedgerEntry, ...]:
        states = (ReleaseState.DEPLOYING, ReleaseState.CANARY)
        return tuple(entry for _, entry in sorted(self._ledger.items()) if entry.state in states)

    async def bar_patch(self, application: Application, patch_digest: str, reason: str) -> None:
        self._barred.setdefault((application.key, patch_digest), reason)

    async def patch_barred(self, application: Application, patch_digest: str) -> str | None:
        return self._barred.get((application.key, patch_digest))


def _mentions(insight: Insight, wanted: str) -> bool:
    names = [insight.metric_name or "", insight.component, insight.insight_type.value, *insight.evidence.numbers]
    return any(wanted in name.lower() for name in names)
