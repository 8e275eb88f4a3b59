"""A server in this process on a real key and rate store, with a fake agent behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from selfbuild.adapters.access import SqlAccess
from selfbuild.adapters.store import SqlStore
from selfbuild.domain.access import Scope
from selfbuild.settings import Settings
from tests.fakes.operations import FakeOperations

ADMIN_KEY = "administrator-key-of-the-tests"


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/store.db"


@pytest.fixture
def acme_key(store_url: str) -> str:
    """Makes the store, with the administrator's key and one for the tenant acme; the latter is returned."""

    async def prepare() -> str:
        store = SqlStore(store_url)
        await store.open()
        access = SqlAccess(store.engine)
        now = datetime.now(UTC)
        await access.seed(ADMIN_KEY, now)
        key = await access.issue("alice", now, tenants=("acme",), scopes=tuple(Scope))
        await store.close()
        return key

    return asyncio.run(prepare())


@pytest.fixture
def start(store_url: str, acme_key: str, operations: FakeOperations) -> Iterator[Callable[..., TestClient]]:
    """Starts servers on the same store; they stop after the test."""

    @asynccontextmanager
    async def services(settings: Settings) -> AsyncIterator[Services]:
        store = SqlStore(store_url)
        yield Services(operations, SqlAccess(store.engine), limits=settings.rate_limits())
        await store.close()

    with ExitStack() as stack:

        def start_server(**changes: Any) -> TestClient:
            app = create_app(Settings(_env_file=None, log_format="json", **changes), services=services)
            client = TestClient(app, base_url="http://127.0.0.1:8004", raise_server_exceptions=False)
            client.headers["Authorization"] = f"Bearer {acme_key}"
            return stack.enter_context(client)

        yield start_server


@pytest.fixture
def client(start: Callable[..., TestClient]) -> TestClient:
    """A server, called with the key of tenant acme."""
    return start()
