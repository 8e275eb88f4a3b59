"""Finds releases that are on trial without an owner, which only `terminate` can leave, and takes them back."""

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.messages import RollbackRequest
    from workflows import steps
    from workflows.rollback_release import RollbackRelease


@workflow.defn(name="ReleaseReconciler")
class ReleaseReconciler:
    """Started by a schedule every ten minutes."""

    @workflow.run
    async def run(self) -> tuple[str, ...]:
        """The ids of the releases whose rollback was started."""
        found = await steps.FIND_ORPHANS(steps.Nothing(), tenant="", summary="releases without an owner")
        started = [await self._start(entry) for entry in found.releases]
        return tuple(release_id for release_id in started if release_id)

    async def _start(self, entry: steps.LedgerView) -> str:
        try:
            await workflow.start_child_workflow(
                RollbackRelease.run,
                RollbackRequest(
                    release_id=entry.release_id,
                    reason=f"its workflow {entry.workflow_id} ended without a verdict",
                    requested_by="reconciler",
                    bar_patch=False,
                ),
                id=f"rollback/{entry.release_id}",
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return ""
        return entry.release_id
