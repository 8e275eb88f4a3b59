"""Keeps the telemetry store small: joins segments that are over, deletes what is too old."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import steps


@workflow.defn(name="StoreKeeper")
class StoreKeeper:
    """Started by a schedule every hour."""

    @workflow.run
    async def run(self) -> steps.StoreKept:
        """What went."""
        return await steps.KEEP_STORE(steps.Nothing(), tenant="", summary="compaction and retention")
