"""Keys and rate windows in the store's database. Keys are kept as SHA-256 only."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from selfbuild.adapters import tables
from selfbuild.domain.access import KeyRecord, RateDecision, Requester, Scope

ADMINISTRATOR = "admin"
HOUR_S = 3600
_NO_DIGEST = "0" * 64


class SqlAccess:
    """Who may call, and how often; exact over all processes that share the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def authenticate(self, key: str, now: datetime) -> Requester | None:
        """The holder of a key that is known, not expired and not revoked."""
        digest = digest_of_key(key)
        query = select(tables.api_keys).where(tables.api_keys.c.digest == digest)
        async with self._transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if not hmac.compare_digest(digest, row.digest if row is not None else _NO_DIGEST) or row is None:
            return None
        record = _record(row)
        if record.revoked_at is not None or (record.expires_at is not None and record.expires_at <= now):
            return None
        return record.requester()

    async def seed(self, key: str | None, now: datetime) -> str | None:
        """Make sure that an administrator can call.

        The key from the settings replaces the one that the settings named before. Without one, and where no key is
        valid, a new key is made.

        Returns:
            The new key, to be shown once; None where nothing was made.
        """
        if key is not None:
            await self._seed_from_settings(key, now)
            return None
        if await self._any_valid(now):
            return None
        return await self.issue(ADMINISTRATOR, now, tenants=None, scopes=(Scope.ADMIN,), origin="generated")

    async def issue(
        self,
        principal: str,
        now: datetime,
        *,
        tenants: tuple[str, ...] | None,
        scopes: tuple[Scope, ...],
        expires_at: datetime | None = None,
        origin: str = "issued",
    ) -> str:
        """Make a key; the store keeps only its digest, so this is the only time it is seen."""
        key_id = secrets.token_hex(6)
        key = f"sbk_{key_id}_{secrets.token_urlsafe(32)}"
        row = _row(key_id, principal, key, now, tenants=tenants, scopes=scopes, origin=origin)
        row["expires_s"] = None if expires_at is None else tables.seconds(expires_at)
        async with self._transaction() as connection:
            await connection.execute(tables.api_keys.insert().values(row))
        return key

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """Whether a key that was still valid has been revoked."""
        table = tables.api_keys.c
        statement = (
            update(tables.api_keys)
            .where(table.id == key_id, table.revoked_s.is_(None))
            .values(revoked_s=tables.seconds(now))
            .returning(table.id)
        )
        async with self._transaction() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() is not None

    async def keys(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first."""
        table = tables.api_keys
        async with self._transaction() as connection:
            rows = (await connection.execute(select(table).order_by(table.c.created_s, table.c.id))).all()
        return tuple(_record(row) for row in rows)

    async def hit(self, tool: str, tenant_id: str, *, limit: int, now: datetime) -> RateDecision:
        """Count one call in the running hour of a tool and tenant; the hour begins with its first call."""
        second = int(tables.seconds(now))
        table = tables.rate_windows.c
        over = table.reset_at <= second
        insert = tables.insert_into(self._engine, tables.rate_windows).values(
            tool=tool, tenant_id=tenant_id, hits=1, reset_at=second + HOUR_S
        )
        statement = insert.on_conflict_do_update(
            index_elements=[table.tool, table.tenant_id],
            set_={
                "hits": case((over, 1), else_=table.hits + 1),
                "reset_at": case((over, second + HOUR_S), else_=table.reset_at),
            },
        ).returning(table.hits, table.reset_at)
        async with self._transaction() as connection:
            hits, reset_at = (await connection.execute(statement)).one()
        return RateDecision(allowed=hits <= limit, limit=limit, remaining=max(0, limit - hits), reset_at=reset_at)

    async def _seed_from_settings(self, key: str, now: datetime) -> None:
        digest = digest_of_key(key)
        table = tables.api_keys.c
        row = _row(
            secrets.token_hex(6), ADMINISTRATOR, key, now, tenants=None, scopes=(Scope.ADMIN,), origin="settings"
        )
        replaced = (
            update(tables.api_keys)
            .where(table.origin == "settings", table.digest != digest, table.revoked_s.is_(None))
            .values(revoked_s=tables.seconds(now))
        )
        insert = tables.insert_into(self._engine, tables.api_keys).values(row)
        async with self._transaction() as connection:
            await connection.execute(insert.on_conflict_do_nothing(index_elements=[table.digest]))
            await connection.execute(replaced)

    async def _any_valid(self, now: datetime) -> bool:
        table = tables.api_keys.c
        query = (
            select(func.count())
            .select_from(tables.api_keys)
            .where(table.revoked_s.is_(None), or_(table.expires_s.is_(None), table.expires_s > tables.seconds(now)))
        )
        async with self._transaction() as connection:
            return bool((await connection.execute(query)).scalar_one())

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise tables.store_failure(error) from error


def digest_of_key(key: str) -> str:
    """SHA-256 in hex. Keys are random and long, so that a slow password hash would add nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def _row(
    key_id: str,
    principal: str,
    key: str,
    now: datetime,
    *,
    tenants: tuple[str, ...] | None,
    scopes: tuple[Scope, ...],
    origin: str,
) -> dict[str, Any]:
    return {
        "id": key_id,
        "principal": principal,
        "digest": digest_of_key(key),
        "tenants": None if tenants is None else list(tenants),
        "scopes": [scope.value for scope in scopes],
        "origin": origin,
        "created_s": tables.seconds(now),
    }


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        principal=row.principal,
        tenants=None if row.tenants is None else tuple(row.tenants),
        scopes=tuple(Scope(scope) for scope in row.scopes),
        origin=row.origin,
        created_at=tables.moment(row.created_s),
        expires_at=tables.moment(row.expires_s),
        revoked_at=tables.moment(row.revoked_s),
    )
