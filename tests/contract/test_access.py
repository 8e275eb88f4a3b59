"""Keys and rate windows, exact over processes that share a database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from selfbuild.adapters.access import SqlAccess
from selfbuild.adapters.store import SqlStore
from selfbuild.domain.access import Scope

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def access(store: SqlStore) -> SqlAccess:
    return SqlAccess(store.engine)


async def test_issued_key_names_its_holder(access: SqlAccess) -> None:
    key = await access.issue("alice", NOW, tenants=("acme",), scopes=(Scope.CYCLES_READ,))

    requester = await access.authenticate(key, NOW)

    assert requester is not None
    assert (requester.principal, requester.tenants, requester.scopes) == ("alice", ("acme",), (Scope.CYCLES_READ,))
    assert key.startswith(f"sbk_{requester.key_id}_")


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "x", lambda _key: "", str.upper])
async def test_other_key_is_refused(access: SqlAccess, change: object) -> None:
    key = await access.issue("alice", NOW, tenants=None, scopes=())
    assert callable(change)

    assert await access.authenticate(change(key), NOW) is None


async def test_key_ends_when_it_expires_or_is_revoked(access: SqlAccess) -> None:
    key = await access.issue("alice", NOW, tenants=None, scopes=(), expires_at=NOW + HOUR)
    requester = await access.authenticate(key, NOW + HOUR - timedelta(seconds=1))
    assert requester is not None
    assert await access.authenticate(key, NOW + HOUR) is None

    assert await access.revoke(requester.key_id, NOW)
    assert not await access.revoke(requester.key_id, NOW)
    assert await access.authenticate(key, NOW) is None


async def test_key_itself_is_not_on_disk(access: SqlAccess, tmp_path: Path) -> None:
    key = await access.issue("alice", NOW, tenants=None, scopes=())

    secret = key.rpartition("_")[2].encode()
    assert all(secret not in file.read_bytes() for file in tmp_path.iterdir())


async def test_key_of_the_settings_is_an_administrators(access: SqlAccess) -> None:
    assert await access.seed("from-the-settings", NOW) is None
    assert await access.seed("from-the-settings", NOW) is None

    requester = await access.authenticate("from-the-settings", NOW)
    assert requester is not None
    assert (requester.principal, requester.tenants) == ("admin", None)
    assert len(await access.keys()) == 1


async def test_changed_key_of_the_settings_replaces_the_old_one(access: SqlAccess) -> None:
    await access.seed("compromised", NOW)
    await access.seed("fresh", NOW)

    assert await access.authenticate("compromised", NOW) is None
    assert await access.authenticate("fresh", NOW) is not None


async def test_without_any_key_one_is_made_once(access: SqlAccess) -> None:
    made = await access.seed(None, NOW)

    assert made is not None
    assert await access.authenticate(made, NOW) is not None
    assert await access.seed(None, NOW) is None


async def test_hour_begins_with_its_first_call_and_ends(access: SqlAccess) -> None:
    first = await access.hit("status", "acme", limit=1, now=NOW)
    second = await access.hit("status", "acme", limit=1, now=NOW + HOUR - timedelta(seconds=1))
    third = await access.hit("status", "acme", limit=1, now=NOW + HOUR)

    assert [each.allowed for each in (first, second, third)] == [True, False, True]
    assert first.reset_at == second.reset_at == int((NOW + HOUR).timestamp())


async def test_racing_calls_of_two_processes_are_counted_exactly(store: SqlStore, tmp_path: Path) -> None:
    other = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    accesses = [SqlAccess(store.engine), SqlAccess(other.engine)]

    decisions = await asyncio.gather(
        *(accesses[number % 2].hit("trigger", "acme", limit=10, now=NOW) for number in range(40))
    )
    await other.close()

    assert sum(each.allowed for each in decisions) == 10
    assert min(each.remaining for each in decisions) == 0
