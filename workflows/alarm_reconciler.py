"""Finds alarms whose event was lost."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import steps
    from workflows.common import cause_of


@workflow.defn(name="AlarmReconciler")
class AlarmReconciler:
    """Started by a schedule every five minutes."""

    @workflow.run
    async def run(self) -> steps.ReconciledAlarms:
        """What was found. CloudWatch out of reach is no failure of this workflow: the next run asks again."""
        try:
            return await steps.RECONCILE_ALARMS(steps.Nothing(), tenant="", summary="alarms in ALARM")
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            return steps.ReconciledAlarms(problem=f"{kind}: {message}")
