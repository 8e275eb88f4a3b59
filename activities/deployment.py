"""Steps that change what serves: deploy, promote, rollback. Safe to run twice and after a crash at any point."""

from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from temporalio import activity

from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Conflict
from selfbuild.domain.patches import Patch
from selfbuild.domain.releases import Release, ReleaseState, Rollback
from selfbuild.ports import Artifacts, LedgerEntry, Records, ReleaseTarget, Repository
from workflows import steps


class DeploymentActivities:
    """Queue `deploy`: the only worker that holds deploy credentials."""

    def __init__(
        self,
        repository: Repository,
        target: ReleaseTarget,
        records: Records,
        artifacts: Artifacts,
        *,
        releases_root: Path,
    ) -> None:
        self._repository = repository
        self._target = target
        self._records = records
        self._artifacts = artifacts
        self._root = releases_root

    @activity.defn(name=steps.READ_HEAD.name)
    async def read_head(self, request: steps.ApplicationRequest) -> str:
        """Sha of the newest commit of the application's branch."""
        return await self._repository.head(request.application)

    @activity.defn(name=steps.DEPLOY.name)
    async def deploy(self, request: steps.DeployRequest) -> Release:
        """Commit, push, export and start the canary."""
        known = await self._records.ledger_get(request.release_id)
        if known is not None and known.state is ReleaseState.CANARY and known.release is not None:
            return known.release
        entry = _entry(request, ReleaseState.DEPLOYING)
        if (await self._records.ledger_put(entry)).state is ReleaseState.ROLLED_BACK:
            raise Conflict(f"release {request.release_id} was rolled back already: deploy under a new release id")
        before = await self._target.describe(request.application)
        if before.baseline_sha is None:
            raise Conflict(f"the target of {request.application.key} serves nothing yet: start the application first")
        patch = Patch.model_validate_json(await self._artifacts.get(request.patch.ref))
        sha = await self._repository.commit_release(
            request.application,
            base_sha=request.base_sha,
            patch=patch,
            subject=request.subject,
            trailers=request.trailers,
        )
        after = await self._target.start_canary(
            request.application,
            release_id=request.release_id,
            sha=sha,
            tree=await self._tree(request.application, sha),
        )
        release = Release(
            release_id=request.release_id,
            application_key=request.application.key,
            baseline_sha=before.baseline_sha,
            sha=sha,
            canary_share=after.canary_workers / after.workers,
            deployed_at=datetime.now(UTC),
        )
        await self._records.ledger_put(
            entry.model_copy(update={"state": ReleaseState.CANARY, "release": release, "updated_at": _now()})
        )
        return release

    @activity.defn(name=steps.PROMOTE.name)
    async def promote(self, request: steps.PromoteRequest) -> steps.Nothing:
        """Serve everything from the canary."""
        await self._target.promote(request.application, release_id=request.release_id)
        entry = await self._records.ledger_get(request.release_id)
        if entry is not None:
            await self._records.ledger_put(
                entry.model_copy(update={"state": ReleaseState.PROMOTED, "updated_at": _now()})
            )
        return steps.Nothing()

    @activity.defn(name=steps.ROLL_BACK.name)
    async def rollback(self, request: steps.RollBackRequest) -> Rollback:
        """Take the canary out, revert its commit, undo a promotion, bar the patch."""
        application = request.application
        await self._target.stop_canary(application, release_id=request.release_id)
        released = await self._repository.find_release(application, request.release_id)
        revert_sha = await self._repository.revert(
            application,
            release_id=request.release_id,
            subject=f"Revert release {request.release_id}",
            trailers={
                "Improvement-Id": request.improvement_id,
                "Patch-Digest": request.patch_digest,
                "Reason": " ".join(request.reason.split())[:500],
                "Verdict": "FAIL" if request.bar_patch else "withdrawn",
            },
        )
        status = await self._target.describe(application)
        if revert_sha and released and await self._still_serves(application, released, revert_sha, status.baseline_sha):
            status = await self._target.replace_baseline(
                application, sha=revert_sha, tree=await self._tree(application, revert_sha)
            )
        if request.bar_patch:
            await self._records.bar_patch(application, request.patch_digest, request.reason)
        entry = await self._records.ledger_get(request.release_id)
        if entry is not None:
            await self._records.ledger_put(
                entry.model_copy(update={"state": ReleaseState.ROLLED_BACK, "updated_at": _now()})
            )
        if status.baseline_sha is None:
            raise Conflict(f"the target of {application.key} serves nothing: start the application")
        return Rollback(release_id=request.release_id, serving_sha=status.baseline_sha, revert_sha=revert_sha)

    async def _still_serves(
        self, application: Application, released: str, revert_sha: str, baseline_sha: str | None
    ) -> bool:
        """Whether what serves now contains the release commit without its revert."""
        if baseline_sha is None or not await self._repository.contains(application, commit=released, tip=baseline_sha):
            return False
        return not await self._repository.contains(application, commit=revert_sha, tip=baseline_sha)

    async def _tree(self, application: Application, sha: str) -> Path:
        """The folder of a release, complete or absent: it is exported beside and renamed."""
        folder = self._root / application.tenant_id / application.name / sha
        if folder.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=".export-", dir=folder.parent))
        try:
            await self._repository.export(application, sha, partial)
            partial.chmod(0o755)
            partial.rename(folder)
        except FileExistsError:
            return folder
        finally:
            rmtree(partial, ignore_errors=True)
        return folder


def _entry(request: steps.DeployRequest, state: ReleaseState) -> LedgerEntry:
    return LedgerEntry(
        release_id=request.release_id,
        application=request.application,
        workflow_id=request.workflow_id,
        state=state,
        improvement_id=request.improvement_id,
        patch_digest=request.patch.fingerprint,
        updated_at=_now(),
    )


def _now() -> datetime:
    return datetime.now(UTC)
