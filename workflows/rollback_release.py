"""Takes one release back, whoever asks: an operator, or the reconciler for a release without an owner."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.messages import RollbackRequest
    from selfbuild.domain.releases import Rollback
    from workflows import steps
    from workflows.common import APPLICATION, TENANT_ID


@workflow.defn(name="RollbackRelease")
class RollbackRelease:
    """Id `rollback/{release_id}`: asking twice is asking once."""

    @workflow.run
    async def run(self, request: RollbackRequest) -> Rollback:
        entry = await steps.FIND_RELEASE(
            steps.FindReleaseRequest(release_id=request.release_id), tenant="", summary=request.release_id
        )
        workflow.upsert_search_attributes(
            [TENANT_ID.value_set(entry.application.tenant_id), APPLICATION.value_set(entry.application.name)]
        )
        workflow.set_current_details(f"rolling back {request.release_id}: {request.reason}")
        return await steps.ROLL_BACK(
            steps.RollBackRequest(
                application=entry.application,
                release_id=entry.release_id,
                improvement_id=entry.improvement_id,
                reason=f"{request.reason} (by {request.requested_by})",
                patch_digest=entry.patch_digest,
                bar_patch=request.bar_patch,
            ),
            tenant=entry.application.tenant_id,
            summary=f"roll back {request.release_id}",
        )
