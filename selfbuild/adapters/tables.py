"""The SQL tables of the store, and how an engine for them is made. SQLite by default, PostgreSQL alike."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Double, Engine, Index, Integer, MetaData, String, Table, Text, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from selfbuild.domain.errors import Misconfigured, Unreachable

metadata = MetaData()
_TENANT = String(63)
_ID = String(200)
_DOCUMENT = JSON(none_as_null=True)

# Times are seconds since the epoch: SQLite keeps no time zones, and both databases order numbers alike.

cycles = Table(
    "cycles",
    metadata,
    Column("cycle_id", _ID, primary_key=True),
    Column("tenant_id", _TENANT, nullable=False),
    Column("started_s", Double, nullable=False),
    Column("document", _DOCUMENT, nullable=False),
    Index("ix_cycles_tenant_started", "tenant_id", "started_s"),
)
improvements = Table(
    "improvements",
    metadata,
    Column("improvement_id", _ID, primary_key=True),
    Column("cycle_id", _ID, nullable=False, index=True),
    Column("tenant_id", _TENANT, nullable=False),
    Column("started_s", Double, nullable=False),
    Column("document", _DOCUMENT, nullable=False),
    Index("ix_improvements_tenant_started", "tenant_id", "started_s"),
)
insights = Table(
    "insights",
    metadata,
    Column("tenant_id", _TENANT, primary_key=True),
    Column("application", _TENANT, primary_key=True),
    Column("insight_id", _ID, primary_key=True),
    Column("cycle_id", _ID, nullable=False),
    Column("window_end_s", Double, nullable=False, index=True),
    Column("document", _DOCUMENT, nullable=False),
)
streams = Table(
    "streams",
    metadata,
    Column("tenant_id", _TENANT, primary_key=True),
    Column("application", _TENANT, primary_key=True),
    Column("document", _DOCUMENT, nullable=False),
)
worker_facts = Table(
    "worker_facts",
    metadata,
    Column("host", _ID, primary_key=True),
    Column("queue", _TENANT, primary_key=True),
    Column("written_s", Double, nullable=False),
    Column("document", _DOCUMENT, nullable=False),
)
ledger = Table(
    "ledger",
    metadata,
    Column("release_id", _ID, primary_key=True),
    Column("state", String(20), nullable=False, index=True),
    Column("document", _DOCUMENT, nullable=False),
)
barred_patches = Table(
    "barred_patches",
    metadata,
    Column("tenant_id", _TENANT, primary_key=True),
    Column("application", _TENANT, primary_key=True),
    Column("patch_digest", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
)
model_calls = Table(
    "model_calls",
    metadata,
    Column("call_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_s", Double, nullable=False),
    Column("tenant_id", _TENANT, nullable=False),
    Column("application", _ID, nullable=False),
    Column("cycle_id", _ID, nullable=False, index=True),
    Column("provider", _TENANT, nullable=False),
    Column("model", _ID, nullable=False),
    Column("request_id", _ID, nullable=True),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Index("ix_model_calls_at_tenant", "at_s", "tenant_id"),
)
components = Table(
    "components",
    metadata,
    Column("component_id", _ID, primary_key=True),
    Column("tenant_id", _TENANT, nullable=False),
    Column("name", _TENANT, nullable=False),
    Column("version", BigInteger, nullable=True),
    Column("status", String(20), nullable=False),
    Column("created_s", Double, nullable=False),
    Column("document", _DOCUMENT, nullable=False),
    # Rows without a version, which are not registered, do not collide.
    Index("ux_components_tenant_name_version", "tenant_id", "name", "version", unique=True),
    Index("ix_components_tenant_created", "tenant_id", "created_s"),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("principal", _ID, nullable=False, index=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("tenants", _DOCUMENT, nullable=True),
    Column("scopes", _DOCUMENT, nullable=False),
    Column("origin", String(20), nullable=False),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double, nullable=True),
    Column("revoked_s", Double, nullable=True),
)
rate_windows = Table(
    "rate_windows",
    metadata,
    Column("tool", String(100), primary_key=True),
    Column("tenant_id", _TENANT, primary_key=True),
    Column("hits", BigInteger, nullable=False),
    Column("reset_at", BigInteger, nullable=False),
)


def make_engine(url: str) -> AsyncEngine:
    """An engine for the store. Nothing is opened yet, but the folder of a SQLite file is made.

    Raises:
        Misconfigured: STORE_URL is none that the store understands.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return create_async_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        try:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"STORE_URL: {Path(parsed.database).parent}: {error.strerror}") from error
    engine = create_async_engine(parsed)
    _tune_sqlite(engine.sync_engine)
    return engine


def creation() -> Iterator[ExecutableDDLElement]:
    """Statements that create what is missing, also while another process does the same."""
    for table in metadata.sorted_tables:
        yield CreateTable(table, if_not_exists=True)
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield CreateIndex(index, if_not_exists=True)


def insert_into(engine: AsyncEngine, table: Table) -> Any:
    """An INSERT that understands ON CONFLICT in the engine's dialect; both dialects share its methods."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


def seconds(moment: datetime) -> float:
    """Seconds since the epoch."""
    return moment.timestamp()


def moment(value: float | None) -> datetime | None:
    """The aware UTC time of `value` seconds since the epoch."""
    return None if value is None else datetime.fromtimestamp(value, UTC)


def store_failure(error: Exception) -> Unreachable:
    """What is raised when the database does not answer. SQL and values are left out: they may hold secrets."""
    cause = getattr(error, "orig", None) or error
    return Unreachable(f"the store does not answer: {type(cause).__name__}: {str(cause).splitlines()[0][:200]}")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Misconfigured("STORE_URL: is no URL such as sqlite+aiosqlite:///FILE") from error
    if parsed.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg"):
        raise Misconfigured(
            f"STORE_URL: {parsed.drivername!r} is unknown; choose sqlite+aiosqlite:///FILE or postgresql+asyncpg://..."
        )
    return parsed


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        # WAL lets the API read while a worker writes; 10 s covers the longest write under load.
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
