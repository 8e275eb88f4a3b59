"""Component requests as they run in Temporal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import CancelledError

from selfbuild.domain.components import ComponentReport, ComponentRequest, component_workflow_id
from selfbuild.domain.errors import InvalidRequest, NotFound, Unreachable
from selfbuild.live import CYCLE_QUEUE, QUERY_TIMEOUT, reaching_temporal

_TENANT_ID = SearchAttributeKey.for_keyword("TenantId")
LONGEST = timedelta(hours=1)
"""Three providers with three calls and three checks each take less; a component is not worth more."""


class LiveComponents:
    """Starts and reads the workflow GenerateComponent; every failure to reach Temporal is Unreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def running(self, tenant_id: str) -> int:
        """How many components of the tenant are being made; one that began within the last second may be missing."""
        quoted = tenant_id.replace("'", "")
        query = f"WorkflowType = 'GenerateComponent' AND TenantId = '{quoted}' AND ExecutionStatus = 'Running'"
        async with _prepared(), reaching_temporal():
            return (await self._client.count_workflows(query)).count

    async def generate(self, request: ComponentRequest, *, wait_s: float) -> ComponentReport | None:
        """Start the workflow, or join the one that makes the same component already.

        Returns:
            How it ended; what it says of itself where it still runs after `wait_s`; None where no worker answers.
        """
        async with _prepared(), reaching_temporal():
            handle = await self._client.start_workflow(
                "GenerateComponent",
                request,
                id=component_workflow_id(request),
                task_queue=CYCLE_QUEUE,
                result_type=ComponentReport,
                execution_timeout=LONGEST,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=TypedSearchAttributes([SearchAttributePair(_TENANT_ID, request.tenant_id)]),
                static_summary=f"{request.component_type} {request.requirements.name}, by {request.requested_by}"[:200],
            )
        try:
            async with asyncio.timeout(wait_s):
                result: ComponentReport = await handle.result()
                return result
        except TimeoutError:
            return await self.report(component_workflow_id(request))
        except WorkflowFailureError as error:
            found = await self.report(component_workflow_id(request))
            if found is not None and isinstance(error.cause, CancelledError):
                return found
            raise Unreachable(f"the component's workflow ended without a result: {error.cause}") from error

    async def report(self, workflow_id: str) -> ComponentReport | None:
        """What the workflow itself says; None where there is none, or no worker answers for it."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            async with reaching_temporal():
                found: ComponentReport = await handle.query(
                    "report", result_type=ComponentReport, rpc_timeout=QUERY_TIMEOUT
                )
        except (Unreachable, NotFound, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return found


@asynccontextmanager
async def _prepared() -> AsyncIterator[None]:
    """A worker that starts makes the search attributes; until then Temporal finds fault with our requests."""
    try:
        yield
    except InvalidRequest as error:
        if "search attribute" not in str(error):
            raise
        raise Unreachable("no worker has prepared Temporal yet: start one, or ask again in a moment") from error
