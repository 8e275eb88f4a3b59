"""The ledger of what models cost, in the store's SQL database."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from selfbuild.adapters import tables
from selfbuild.domain.model_calls import ModelAnswer, Spender, Usage


class SqlSpendLedger:
    """Implements `ports.SpendLedger` on the engine of an opened `SqlStore`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def charge(self, spender: Spender, answer: ModelAnswer, *, at: datetime) -> None:
        row = {
            "at_s": tables.seconds(at),
            "tenant_id": spender.tenant_id,
            "application": spender.application,
            "cycle_id": spender.cycle_id,
            "provider": answer.provider,
            "model": answer.model[:200],
            "request_id": answer.request_id[:200] if answer.request_id else None,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cost_usd": answer.usage.cost_usd,
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(tables.model_calls.insert().values(row))
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error

    async def spent(
        self, *, since: datetime | None = None, tenant_id: str | None = None, cycle_id: str | None = None
    ) -> Usage:
        table = tables.model_calls.c
        query = select(func.sum(table.input_tokens), func.sum(table.output_tokens), func.sum(table.cost_usd))
        if since is not None:
            query = query.where(table.at_s >= tables.seconds(since))
        if tenant_id is not None:
            query = query.where(table.tenant_id == tenant_id)
        if cycle_id is not None:
            query = query.where(table.cycle_id == cycle_id)
        try:
            async with self._engine.connect() as connection:
                read, written, cost_usd = (await connection.execute(query)).one()
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error
        return Usage(input_tokens=int(read or 0), output_tokens=int(written or 0), cost_usd=float(cost_usd or 0))
