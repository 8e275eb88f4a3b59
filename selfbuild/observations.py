"""What callers can read of insights and telemetry. Grants are checked here; `selfbuild.agent.Agent` is built on it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Misconfigured, NotFound
from selfbuild.domain.insights import Chart, Insight, InsightType, Severity
from selfbuild.insight_views import (
    MAX_INSIGHTS,
    InsightDetail,
    InsightList,
    QueryParameters,
    insight_detail,
    insight_list,
)
from selfbuild.ports import Artifacts, Records
from selfbuild.telemetry_desk import TelemetryDesk, TelemetryQuery
from selfbuild.telemetry_views import BaselineCheck, SeriesList, TelemetryCheck, TelemetryPoints

MAX_INSIGHTS_READ = 10_000
"""Newest insights among which types, severities and ids are looked for."""


class Observations:
    """Insights, and what the telemetry store holds, for a requester."""

    def __init__(
        self,
        applications: Sequence[Application],
        records: Records,
        *,
        desk: TelemetryDesk | None,
        artifacts: Artifacts | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._applications = applications
        self._records = records
        self._telemetry = desk
        self._artifacts = artifacts
        self._clock = clock

    # Insights

    async def insights(
        self,
        requester: Requester,
        *,
        metric_name: str | None = None,
        time_range_hours: int = 1,
        tenant_id: str | None = None,
        since_seconds: int | None = None,
        insight_types: Sequence[InsightType] = (),
        severities: Sequence[Severity] = (),
    ) -> InsightList:
        """Insights whose window ended within the last hours, or within `since_seconds` where that is given."""
        requester.require_scope(Scope.INSIGHTS_READ)
        tenants = self._readable(requester, tenant_id)
        query = QueryParameters(
            metric_name=metric_name,
            time_range_hours=time_range_hours,
            tenant_id=tenant_id,
            since_seconds=since_seconds,
            insight_types=tuple(insight_types),
            severities=tuple(severities),
        )
        range_ = timedelta(hours=time_range_hours) if since_seconds is None else timedelta(seconds=since_seconds)
        limit = MAX_INSIGHTS_READ if insight_types or severities else MAX_INSIGHTS
        found = await self._records.insights(
            tenants=tenants, since=self._clock() - range_, metric_name=metric_name, limit=limit
        )
        return insight_list(query, [(t, each) for t, each in found if query.asks_for(each)][:MAX_INSIGHTS])

    async def get_insight(self, requester: Requester, insight_id: str) -> InsightDetail:
        """One insight with its evidence. Raises NotFound."""
        return insight_detail(*await self._insight(requester, insight_id))

    async def insight_chart(self, requester: Requester, insight_id: str) -> Chart:
        """The chart of an insight. Raises NotFound, whose text says why there is none."""
        _, insight = await self._insight(requester, insight_id)
        if self._artifacts is None:
            raise Misconfigured("this server was started without artifacts: charts cannot be read")
        if insight.evidence.chart is None:
            raise NotFound(f"insight {insight_id!r} has no chart: it does not rest on a metric series")
        try:
            return Chart.model_validate_json(await self._artifacts.get(insight.evidence.chart))
        except NotFound as error:
            raise NotFound(f"insight {insight_id!r}: its chart is no longer kept: {error}") from error

    async def _insight(self, requester: Requester, insight_id: str) -> tuple[str, Insight]:
        requester.require_scope(Scope.INSIGHTS_READ)
        ever = datetime.fromtimestamp(0, UTC)
        for tenant, insight in await self._records.insights(
            tenants=requester.tenants, since=ever, limit=MAX_INSIGHTS_READ
        ):
            if insight.insight_id == insight_id:
                return tenant, insight
        raise NotFound(f"no insight {insight_id!r}: see 'selfbuild insight list --since 7d'")

    # Telemetry

    async def list_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        component: str | None = None,
    ) -> SeriesList:
        """Which series the telemetry store holds."""
        desk, chosen = self._desk(requester, tenant_id, application)
        return await desk.list_series(chosen, component=component)

    async def query_telemetry(self, requester: Requester, query: TelemetryQuery) -> TelemetryPoints:
        """The points of the series asked for. Raises NotFound, InvalidRequest."""
        desk, chosen = self._desk(requester, query.tenant_id, query.application)
        return await desk.query(chosen, query, now=self._clock())

    async def check_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        since_seconds: int = 86400,
    ) -> TelemetryCheck:
        """Whether the telemetry of the last time arrived, and completely."""
        desk, chosen = self._desk(requester, tenant_id, application)
        now = self._clock()
        return await desk.check(chosen, since=now - timedelta(seconds=since_seconds), now=now)

    async def check_baseline(
        self, requester: Requester, *, tenant_id: str | None = None, application: str | None = None
    ) -> BaselineCheck:
        """Whether a cycle that started now could compare its window with the past."""
        desk, chosen = self._desk(requester, tenant_id, application)
        return await desk.check_baseline(chosen, now=self._clock())

    def _desk(
        self, requester: Requester, tenant_id: str | None, application: str | None
    ) -> tuple[TelemetryDesk, list[Application]]:
        """The desk, and the applications that are meant. Raises AccessDenied, TenantDenied, NotFound, Misconfigured."""
        requester.require_scope(Scope.INSIGHTS_READ)
        tenants = self._readable(requester, tenant_id)
        if self._telemetry is None:
            raise Misconfigured("this server was started without a telemetry store: see TELEMETRY_STORE_URL")
        mine = [each for each in self._applications if tenants is None or each.tenant_id in tenants]
        chosen = [each for each in mine if application in (None, each.name)]
        if not chosen:
            names = ", ".join(repr(each.name) for each in mine)
            raise NotFound(
                f"no application {application!r}: choose one of {names}"
                if names
                else "no application is configured for you: add one to APPLICATIONS_FILE"
            )
        return self._telemetry, chosen

    def _readable(self, requester: Requester, tenant_id: str | None) -> tuple[str, ...] | None:
        """The tenants to read; None = all."""
        if tenant_id is None:
            return requester.tenants
        requester.require_tenant(tenant_id)
        return (tenant_id,)
