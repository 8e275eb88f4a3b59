"""Steps that write the read model and read the ledger."""

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from selfbuild.domain.errors import NotFound
from selfbuild.ports import LedgerEntry, Records
from workflows import steps


class RecordActivities:
    """Queue `cycle`."""

    def __init__(self, records: Records, client: Client) -> None:
        self._records = records
        self._client = client

    @activity.defn(name=steps.RECORD_CYCLE.name)
    async def record_cycle(self, request: steps.RecordCycleRequest) -> steps.Nothing:
        """Write a cycle and its insights."""
        await self._records.save_cycle(request.report)
        await self._records.save_insights(request.application, request.report.cycle_id, request.insights)
        return steps.Nothing()

    @activity.defn(name=steps.RECORD_IMPROVEMENT.name)
    async def record_improvement(self, request: steps.RecordImprovementRequest) -> steps.Nothing:
        """Write an improvement."""
        await self._records.save_improvement(request.report)
        return steps.Nothing()

    @activity.defn(name=steps.FIND_RELEASE.name)
    async def find_release(self, request: steps.FindReleaseRequest) -> steps.LedgerView:
        """What the ledger knows of a release."""
        entry = await self._records.ledger_get(request.release_id)
        if entry is None:
            raise NotFound(f"no release {request.release_id!r}: see 'selfbuild improvement list'")
        return _view(entry)

    @activity.defn(name=steps.FIND_ORPHANS.name)
    async def find_orphaned_releases(self, request: steps.Nothing) -> steps.OpenReleases:
        """Releases on trial whose workflow has ended."""
        entries = [_view(entry) for entry in await self._records.ledger_open() if await self._ended(entry)]
        return steps.OpenReleases(releases=tuple(entries))

    async def _ended(self, entry: LedgerEntry) -> bool:
        try:
            description = await self._client.get_workflow_handle(entry.workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return description.status is not WorkflowExecutionStatus.RUNNING


def _view(entry: LedgerEntry) -> steps.LedgerView:
    return steps.LedgerView(
        application=entry.application,
        release_id=entry.release_id,
        state=entry.state,
        improvement_id=entry.improvement_id,
        patch_digest=entry.patch_digest,
        workflow_id=entry.workflow_id,
    )
