"""What every implementation of `component_ports.ComponentRegistry` keeps to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from selfbuild.adapters.component_store import SqlComponents
from selfbuild.adapters.store import SqlStore
from selfbuild.component_ports import ComponentRegistry
from selfbuild.domain.components import ComponentReport, ComponentStatus, new_report
from tests.builders import NOON
from tests.fakes.components import FakeComponents, a_component_request, a_registered, some_requirements


@pytest.fixture(params=["fake", "sqlite"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ComponentRegistry]:
    if request.param == "fake":
        yield FakeComponents()
        return
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    await store.open()
    yield SqlComponents(store.engine)
    await store.close()


def described(text: str, **changes: object) -> ComponentReport:
    return a_registered(a_component_request(requirements=some_requirements(description=text, **changes)))


async def test_first_registration_of_a_name_is_version_one(registry: ComponentRegistry) -> None:
    saved = await registry.save(a_registered())

    assert saved.registration is not None
    assert (saved.registration.version, saved.registration.key) == (1, "acme/meeting-summary@1")
    assert await registry.find(saved.component_id) == saved


async def test_the_same_registered_twice_is_one_component(registry: ComponentRegistry) -> None:
    first = await registry.save(a_registered())

    assert await registry.save(a_registered(reason="again")) == first
    assert await registry.components(tenants=None) == (first,)


async def test_other_requirements_under_the_same_name_get_the_next_version(registry: ComponentRegistry) -> None:
    versions = [(await registry.save(described(text))).registration for text in ("one", "two", "three")]
    other_tenant = await registry.save(a_registered(a_component_request(tenant_id="globex")))

    assert [each.version for each in versions if each] == [1, 2, 3]
    assert other_tenant.registration is not None
    assert other_tenant.registration.version == 1


async def test_registrations_at_the_same_time_get_different_versions(registry: ComponentRegistry) -> None:
    saved = await asyncio.gather(*(registry.save(described(f"text {number}")) for number in range(5)))

    assert sorted(each.registration.version for each in saved if each.registration) == [1, 2, 3, 4, 5]


async def test_what_was_declined_may_be_registered_later_and_never_the_other_way(registry: ComponentRegistry) -> None:
    declined = new_report(a_component_request(), NOON, workflow_id=None).model_copy(
        update={"status": ComponentStatus.DECLINED}
    )
    await registry.save(declined)
    registered = await registry.save(a_registered())

    after = await registry.save(declined)

    assert registered.status is ComponentStatus.REGISTERED
    assert after == registered


async def test_components_are_listed_newest_first_by_tenant_and_name(registry: ComponentRegistry) -> None:
    old = await registry.save(described("old"))
    new = await registry.save(described("new").model_copy(update={"created_at": NOON + timedelta(hours=1)}))
    await registry.save(a_registered(a_component_request(tenant_id="globex")))
    other = await registry.save(described("other", name="other"))

    assert await registry.components(tenants=["acme"], name="meeting-summary") == (new, old)
    assert other in await registry.components(tenants=["acme"])
    assert (await registry.components(tenants=["acme"], limit=1)) == (new,)
    assert await registry.components(tenants=[]) == ()
    assert await registry.find("cmp_unknown") is None


async def test_registry_survives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    store = SqlStore(url)
    await store.open()
    saved = await SqlComponents(store.engine).save(a_registered())
    await store.close()

    again = SqlStore(url)
    await again.open()
    found = await SqlComponents(again.engine).find(saved.component_id)
    await again.close()

    assert found == saved
