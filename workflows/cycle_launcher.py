"""Starts the scheduled cycle of one application under its fixed id, which a schedule itself cannot do."""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.messages import Launched, LaunchRequest
    from workflows import steps
    from workflows.common import APPLICATION, TENANT_ID
    from workflows.improvement_cycle import ImprovementCycle

SCHEDULED_PRIORITY = 3


@workflow.defn(name="CycleLauncher")
class CycleLauncher:
    """Started by the schedule `schedule/{tenant}/{application}`; ends as soon as the cycle runs."""

    @workflow.run
    async def run(self, request: LaunchRequest) -> Launched:
        """The cycle that was started, or why none was."""
        workflow.upsert_search_attributes(
            [TENANT_ID.value_set(request.tenant_id), APPLICATION.value_set(request.application)]
        )
        workflow_id = f"cycle/{request.tenant_id}/{request.application}"
        prepared = await steps.PREPARE_CYCLE(
            steps.PrepareCycleRequest(tenant_id=request.tenant_id, application=request.application, trigger="schedule"),
            tenant=request.tenant_id,
            summary=f"{request.tenant_id}/{request.application}",
        )
        if prepared.request is None:
            return Launched(workflow_id=workflow_id, skipped=prepared.refusal)
        try:
            child = await workflow.start_child_workflow(
                ImprovementCycle.run,
                prepared.request,
                id=workflow_id,
                parent_close_policy=ParentClosePolicy.ABANDON,
                priority=Priority(priority_key=SCHEDULED_PRIORITY, fairness_key=request.tenant_id),
                static_summary=f"{prepared.request.application.key}, schedule",
            )
        except WorkflowAlreadyStartedError:
            return Launched(workflow_id=workflow_id, skipped="a cycle of the application runs already")
        return Launched(workflow_id=workflow_id, run_id=child.first_execution_run_id)
