"""The registry of components in the store's SQL database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from selfbuild.adapters import tables
from selfbuild.domain.components import ComponentReport, ComponentStatus
from selfbuild.domain.errors import Conflict

_ATTEMPTS = 8
"""Each loses only against a registration of the same name between our reading and our writing."""


class SqlComponents:
    """Implements `component_ports.ComponentRegistry` on the engine of an opened `SqlStore`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def save(self, report: ComponentReport) -> ComponentReport:
        """See the port; the version is decided by the database, also between processes."""
        for _ in range(_ATTEMPTS):
            try:
                async with self._engine.begin() as connection:
                    return await self._save(connection, report)
            except IntegrityError:
                continue
            except (SQLAlchemyError, OSError) as error:
                raise tables.store_failure(error) from error
        raise Conflict(f"other components named {report.name!r} are registered faster than this one: ask again")

    async def _save(self, connection: AsyncConnection, report: ComponentReport) -> ComponentReport:
        table = tables.components.c
        query = select(table.document).where(table.component_id == report.component_id)
        known = (await connection.execute(query)).scalar_one_or_none()
        if known is not None:
            before = ComponentReport.model_validate(known)
            if before.status is ComponentStatus.REGISTERED:
                return before
        report = await self._with_version(connection, report)
        row: dict[str, Any] = {
            "component_id": report.component_id,
            "tenant_id": report.tenant_id,
            "name": report.name,
            "version": report.registration.version if report.registration else None,
            "status": report.status.value,
            "created_s": tables.seconds(report.created_at),
            "document": report.model_dump(mode="json"),
        }
        insert = tables.insert_into(self._engine, tables.components).values(row)
        changed = {name: insert.excluded[name] for name in row if name not in ("component_id", "tenant_id")}
        # Two runs of the same step: the first one's registration stands.
        statement = insert.on_conflict_do_update(
            index_elements=[table.component_id],
            set_=changed,
            where=table.status != ComponentStatus.REGISTERED.value,
        ).returning(table.document)
        written = (await connection.execute(statement)).scalar_one_or_none()
        if written is None:
            written = (await connection.execute(query)).scalar_one()
        return ComponentReport.model_validate(written)

    async def _with_version(self, connection: AsyncConnection, report: ComponentReport) -> ComponentReport:
        if report.registration is None:
            return report
        table = tables.components.c
        query = select(func.max(table.version)).where(table.tenant_id == report.tenant_id, table.name == report.name)
        version = ((await connection.execute(query)).scalar_one_or_none() or 0) + 1
        key = f"{report.tenant_id}/{report.name}@{version}"
        registration = report.registration.model_copy(update={"version": version, "key": key})
        return report.model_copy(update={"registration": registration})

    async def find(self, component_id: str) -> ComponentReport | None:
        table = tables.components.c
        found = await self._documents(select(table.document).where(table.component_id == component_id))
        return ComponentReport.model_validate(found[0]) if found else None

    async def components(
        self, *, tenants: Sequence[str] | None, name: str | None = None, limit: int = 50
    ) -> tuple[ComponentReport, ...]:
        table = tables.components.c
        query = select(table.document).order_by(table.created_s.desc(), table.component_id).limit(limit)
        if tenants is not None:
            query = query.where(table.tenant_id.in_(tenants))
        if name is not None:
            query = query.where(table.name == name)
        return tuple(ComponentReport.model_validate(each) for each in await self._documents(query))

    async def _documents(self, query: Any) -> Sequence[Any]:
        try:
            async with self._engine.connect() as connection:
                found: Sequence[Any] = (await connection.execute(query)).scalars().all()
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error
        return found
