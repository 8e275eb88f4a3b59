"""Activities over fakes of their ports: each may run twice, and after a crash at any point."""

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from activities.deployment import DeploymentActivities
from activities.generation import GenerationActivities
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.store import SqlStore
from selfbuild.domain.errors import Conflict, InvalidRequest, Misconfigured
from selfbuild.domain.patches import Edit, Patch
from selfbuild.domain.releases import ReleaseState
from selfbuild.ports import LedgerEntry
from tests.builders import a_stored_patch, an_application, an_opportunity
from tests.fakes.generator import FakeGenerator
from tests.fakes.release import FakeReleaseTarget
from tests.fakes.repository import FakeRepository
from workflows import steps

FILES = {"shop/actions.py": 'def owner(item):\n    return item["owner"]\n', "tests/test_shop.py": "x = 1\n"}
PATCH = Patch(
    summary="default owner", edits=(Edit(path="shop/actions.py", search='["owner"]', replace='.get("owner")'),)
)


class World:
    """An application that serves its first commit."""

    def __init__(self, tmp_path: Path, records: SqlStore) -> None:
        self.records = records
        self.repository = FakeRepository(FILES)
        self.base = self.repository.commits[0].sha
        self.target = FakeReleaseTarget(baseline_sha=self.base)
        self.artifacts = FolderArtifacts(tmp_path / "artifacts")
        self.activities = DeploymentActivities(
            self.repository, self.target, self.records, self.artifacts, releases_root=tmp_path / "releases"
        )

    async def deploy_request(self, release_id: str = "r-1", patch: Patch = PATCH) -> steps.DeployRequest:
        ref = await self.artifacts.put(patch.model_dump_json().encode())
        return steps.DeployRequest(
            application=an_application(),
            release_id=release_id,
            improvement_id="i-1",
            workflow_id="cycle/acme/shop/x/1",
            base_sha=self.repository.commits[-1].sha,
            patch=a_stored_patch(ref=ref, fingerprint=patch.fingerprint),
            subject="actions: default owner",
            trailers={"Release-Id": release_id},
        )

    def rollback_request(self, release_id: str = "r-1", *, bar_patch: bool = True) -> steps.RollBackRequest:
        return steps.RollBackRequest(
            application=an_application(),
            release_id=release_id,
            improvement_id="i-1",
            reason="errors are 5 times the baseline's",
            patch_digest=PATCH.fingerprint,
            bar_patch=bar_patch,
        )

    def promote_request(self, release_id: str = "r-1") -> steps.PromoteRequest:
        return steps.PromoteRequest(application=an_application(), release_id=release_id)

    async def state(self, release_id: str = "r-1") -> ReleaseState | None:
        entry = await self.records.ledger_get(release_id)
        return entry.state if entry else None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    records = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    await records.open()
    yield World(tmp_path, records)
    await records.close()


async def test_deploy_run_twice_releases_once(world: World) -> None:
    request = await world.deploy_request()

    first = await world.activities.deploy(request)
    second = await world.activities.deploy(request)

    assert first == second
    assert len(world.repository.commits) == 2
    assert world.target.calls == [("start_canary", "r-1")]
    assert await world.state() is ReleaseState.CANARY


async def test_deploy_after_a_crash_before_the_ledger_knew_releases_once(world: World) -> None:
    request = await world.deploy_request()
    put = world.records.ledger_put
    world.records.ledger_put = _fails_on_canary(put)  # type: ignore[method-assign, assignment]  # the crash
    with pytest.raises(OSError, match="killed"):
        await world.activities.deploy(request)
    world.records.ledger_put = put  # type: ignore[method-assign]

    release = await world.activities.deploy(request)

    assert len(world.repository.commits) == 2
    assert world.target.calls == [("start_canary", "r-1")]
    assert release.baseline_sha == world.base


async def test_late_deploy_of_a_release_that_was_rolled_back_is_refused(world: World) -> None:
    request = await world.deploy_request()
    await world.activities.deploy(request)
    await world.activities.rollback(world.rollback_request())

    with pytest.raises(Conflict, match="rolled back already"):
        await world.activities.deploy(request)
    assert world.target.canary_sha is None


async def test_unhealthy_release_leaves_the_baseline_serving(world: World) -> None:
    request = await world.deploy_request()
    world.target.unhealthy.add(_next_sha(world, request))

    with pytest.raises(InvalidRequest):
        await world.activities.deploy(request)

    assert world.target.baseline_sha == world.base


async def test_rollback_run_twice_reverts_once_and_bars_the_patch(world: World) -> None:
    await world.activities.deploy(await world.deploy_request())

    first = await world.activities.rollback(world.rollback_request())
    second = await world.activities.rollback(world.rollback_request())

    assert first == second
    assert first.serving_sha == world.base
    assert first.revert_sha == world.repository.commits[-1].sha
    assert len(world.repository.commits) == 3
    assert await world.state() is ReleaseState.ROLLED_BACK
    assert "5 times" in (await world.records.patch_barred(an_application(), PATCH.fingerprint) or "")


async def test_rollback_of_what_was_never_deployed_changes_nothing(world: World) -> None:
    rollback = await world.activities.rollback(world.rollback_request(bar_patch=False))

    assert (rollback.revert_sha, rollback.serving_sha) == (None, world.base)
    assert await world.records.patch_barred(an_application(), PATCH.fingerprint) is None


async def test_rollback_of_a_promoted_release_serves_the_revert(world: World) -> None:
    await world.activities.deploy(await world.deploy_request())
    await world.activities.promote(world.promote_request())
    await world.activities.promote(world.promote_request())

    rollback = await world.activities.rollback(world.rollback_request())

    assert world.target.baseline_sha == rollback.revert_sha == world.repository.commits[-1].sha
    assert world.repository.commits[-1].files == FILES


async def test_rollback_run_again_later_leaves_the_next_release_alone(world: World) -> None:
    await world.activities.deploy(await world.deploy_request())
    await world.activities.rollback(world.rollback_request())
    await world.activities.deploy(await world.deploy_request("r-2"))
    await world.activities.promote(world.promote_request("r-2"))
    served = world.target.baseline_sha

    await world.activities.rollback(world.rollback_request())

    assert world.target.baseline_sha == served


async def generate(world: World, provider: str, *outcomes: Patch | str) -> steps.Generated:
    activities = GenerationActivities(
        {"fake": FakeGenerator(*outcomes)}, world.repository, world.records, world.artifacts
    )
    request = steps.GenerateRequest(
        application=an_application(), opportunity=an_opportunity(), cycle_id="cycle_1", provider=provider, timeout_s=5
    )
    return await activities.generate(request)


async def test_generated_patch_is_kept_with_its_transcript(world: World) -> None:
    generated = await generate(world, "fake", PATCH)

    assert generated.patch is not None
    assert Patch.model_validate_json(await world.artifacts.get(generated.patch.ref)) == PATCH
    assert generated.transcript is not None
    assert b"default owner" in await world.artifacts.get(generated.transcript)
    assert generated.shown_files == ("shop/actions.py",)


async def test_patch_that_was_taken_back_before_is_not_tried_again(world: World) -> None:
    await world.records.bar_patch(an_application(), PATCH.fingerprint, "it made things slow")
    reworded = PATCH.model_copy(update={"summary": "other words, the same change"})

    generated = await generate(world, "fake", reworded)

    assert generated.patch is None
    assert "it made things slow" in (generated.refusal or "")


async def test_provider_without_a_key_is_named(world: World) -> None:
    with pytest.raises(Misconfigured, match="'anthropic' is not set up"):
        await generate(world, "anthropic", PATCH)


Put = Callable[[LedgerEntry], Coroutine[Any, Any, LedgerEntry]]


def _fails_on_canary(put: Put) -> Put:
    async def failing(entry: LedgerEntry) -> LedgerEntry:
        if entry.state is ReleaseState.CANARY:
            raise OSError("killed")
        return await put(entry)

    return failing


def _next_sha(world: World, request: steps.DeployRequest) -> str:
    """The sha the release commit is going to have: the fake derives it from its content."""
    trial = FakeRepository(FILES)
    files = {**FILES, "shop/actions.py": FILES["shop/actions.py"].replace('["owner"]', '.get("owner")')}
    return trial._append(files, request.subject, request.trailers, PATCH)
