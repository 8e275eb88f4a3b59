"""Records in a SQL database: the read model, the release ledger, barred patches."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from selfbuild.adapters import tables
from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CycleReport, ImprovementReport
from selfbuild.domain.insights import Insight
from selfbuild.domain.releases import ReleaseState
from selfbuild.domain.streams import StreamState
from selfbuild.domain.workers import WorkerFacts
from selfbuild.ports import LedgerEntry


class SqlStore:
    """Implements `ports.Records`. Several processes may use the same database."""

    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = tables.make_engine(url)

    async def open(self) -> None:
        """Create the tables that are missing. Raises Unreachable where the database does not answer."""
        async with self._write() as connection:
            for statement in tables.creation():
                await connection.execute(statement)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    async def check(self) -> None:
        """Raises Unreachable where the database does not answer."""
        async with self._read() as connection:
            await connection.execute(select(1))

    # Read model

    async def save_cycle(self, report: CycleReport) -> None:
        await self._upsert(
            tables.cycles,
            [
                {
                    "cycle_id": report.cycle_id,
                    "tenant_id": report.tenant_id,
                    "started_s": tables.seconds(report.started_at),
                    "document": report.model_dump(mode="json"),
                }
            ],
        )

    async def save_improvement(self, report: ImprovementReport) -> None:
        await self._upsert(
            tables.improvements,
            [
                {
                    "improvement_id": report.improvement_id,
                    "cycle_id": report.cycle_id,
                    "tenant_id": report.tenant_id,
                    "started_s": tables.seconds(report.started_at),
                    "document": report.model_dump(mode="json"),
                }
            ],
        )

    async def save_insights(self, application: Application, cycle_id: str, insights: Sequence[Insight]) -> None:
        rows = {
            insight.insight_id: {
                "tenant_id": application.tenant_id,
                "application": application.name,
                "insight_id": insight.insight_id,
                "cycle_id": cycle_id,
                "window_end_s": tables.seconds(insight.evidence.window_end),
                "document": insight.model_dump(mode="json"),
            }
            for insight in insights
        }
        await self._upsert(tables.insights, list(rows.values()))

    async def cycle(self, cycle_id: str) -> CycleReport | None:
        found = await self._document(select(tables.cycles.c.document).where(tables.cycles.c.cycle_id == cycle_id))
        return None if found is None else CycleReport.model_validate(found)

    async def cycles(self, *, tenants: Sequence[str] | None, limit: int = 50) -> tuple[CycleReport, ...]:
        table = tables.cycles.c
        query = select(table.document).order_by(table.started_s.desc(), table.cycle_id.desc()).limit(limit)
        if tenants is not None:
            query = query.where(table.tenant_id.in_(tenants))
        return tuple([CycleReport.model_validate(each) for each in await self._documents(query)])

    async def improvement(self, improvement_id: str) -> ImprovementReport | None:
        table = tables.improvements.c
        found = await self._document(select(table.document).where(table.improvement_id == improvement_id))
        return None if found is None else ImprovementReport.model_validate(found)

    async def improvements(
        self, *, tenants: Sequence[str] | None, cycle_id: str | None = None, limit: int = 50
    ) -> tuple[ImprovementReport, ...]:
        table = tables.improvements.c
        query = select(table.document).order_by(table.started_s.desc(), table.improvement_id).limit(limit)
        if tenants is not None:
            query = query.where(table.tenant_id.in_(tenants))
        if cycle_id is not None:
            query = query.where(table.cycle_id == cycle_id)
        return tuple([ImprovementReport.model_validate(each) for each in await self._documents(query)])

    async def insights(
        self,
        *,
        tenants: Sequence[str] | None,
        since: datetime,
        metric_name: str | None = None,
        limit: int = 200,
    ) -> tuple[tuple[str, Insight], ...]:
        table = tables.insights.c
        query = (
            select(table.tenant_id, table.document)
            .where(table.window_end_s >= tables.seconds(since))
            .order_by(table.window_end_s.desc(), table.insight_id)
        )
        if tenants is not None:
            query = query.where(table.tenant_id.in_(tenants))
        found: list[tuple[str, Insight]] = []
        async with self._read() as connection:
            # Matching reads the document, which no index knows: stream, and stop at the limit.
            async for tenant, document in await connection.stream(query):
                insight = Insight.model_validate(document)
                if metric_name is None or speaks_of(insight, metric_name):
                    found.append((tenant, insight))
                if len(found) >= limit:
                    break
        return tuple(found)

    async def save_stream(self, state: StreamState) -> None:
        row = {"tenant_id": state.tenant_id, "application": state.application}
        await self._upsert(tables.streams, [row | {"document": state.model_dump(mode="json")}])

    async def streams(self, *, tenants: Sequence[str] | None) -> tuple[StreamState, ...]:
        table = tables.streams.c
        query = select(table.document).order_by(table.tenant_id, table.application)
        if tenants is not None:
            query = query.where(table.tenant_id.in_(tenants))
        return tuple([StreamState.model_validate(each) for each in await self._documents(query)])

    async def save_worker(self, facts: WorkerFacts) -> None:
        row = {"host": facts.host, "queue": facts.queue, "written_s": tables.seconds(facts.written_at)}
        await self._upsert(tables.worker_facts, [row | {"document": facts.model_dump(mode="json")}])

    async def forget_worker(self, host: str, queue: str) -> None:
        table = tables.worker_facts
        async with self._write() as connection:
            await connection.execute(table.delete().where(table.c.host == host, table.c.queue == queue))

    async def workers(self) -> tuple[WorkerFacts, ...]:
        table = tables.worker_facts.c
        query = select(table.document).order_by(table.written_s.desc(), table.host, table.queue)
        return tuple([WorkerFacts.model_validate(each) for each in await self._documents(query)])

    # Ledger

    async def ledger_put(self, entry: LedgerEntry) -> LedgerEntry:
        insert = tables.insert_into(self.engine, tables.ledger).values(
            release_id=entry.release_id, state=entry.state.value, document=entry.model_dump(mode="json")
        )
        # One statement decides, so that a late deploy can never pass a rollback in between.
        statement = insert.on_conflict_do_update(
            index_elements=[tables.ledger.c.release_id],
            set_={"state": insert.excluded.state, "document": insert.excluded.document},
            where=tables.ledger.c.state != ReleaseState.ROLLED_BACK.value,
        ).returning(tables.ledger.c.document)
        tombstone = select(tables.ledger.c.document).where(tables.ledger.c.release_id == entry.release_id)
        async with self._write() as connection:
            written = (await connection.execute(statement)).scalar_one_or_none()
            if written is None:
                written = (await connection.execute(tombstone)).scalar_one()
        return LedgerEntry.model_validate(written)

    async def ledger_get(self, release_id: str) -> LedgerEntry | None:
        table = tables.ledger.c
        found = await self._document(select(table.document).where(table.release_id == release_id))
        return None if found is None else LedgerEntry.model_validate(found)

    async def ledger_open(self) -> tuple[LedgerEntry, ...]:
        table = tables.ledger.c
        states = (ReleaseState.DEPLOYING.value, ReleaseState.CANARY.value)
        query = select(table.document).where(table.state.in_(states)).order_by(table.release_id)
        return tuple([LedgerEntry.model_validate(each) for each in await self._documents(query)])

    # Barred patches

    async def bar_patch(self, application: Application, patch_digest: str, reason: str) -> None:
        insert = tables.insert_into(self.engine, tables.barred_patches).values(
            tenant_id=application.tenant_id, application=application.name, patch_digest=patch_digest, reason=reason
        )
        async with self._write() as connection:
            await connection.execute(insert.on_conflict_do_nothing())

    async def patch_barred(self, application: Application, patch_digest: str) -> str | None:
        table = tables.barred_patches.c
        query = select(table.reason).where(
            table.tenant_id == application.tenant_id,
            table.application == application.name,
            table.patch_digest == patch_digest,
        )
        async with self._read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def _upsert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        insert = tables.insert_into(self.engine, table).values(rows)
        keys = list(table.primary_key.columns)
        changed = {column.name: insert.excluded[column.name] for column in table.columns if column not in keys}
        async with self._write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed))

    async def _document(self, query: Select[Any]) -> Any | None:
        async with self._read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def _documents(self, query: Select[Any]) -> Sequence[Any]:
        async with self._read() as connection:
            found: Sequence[Any] = (await connection.execute(query)).scalars().all()
        return found

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self.engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self.engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error


def speaks_of(insight: Insight, name: str) -> bool:
    """Whether the metric, the type, the component or an evidence number contains `name`, in any case."""
    names = (insight.metric_name or "", insight.insight_type.value, insight.component, *insight.evidence.numbers)
    return any(name.casefold() in known.casefold() for known in names)
