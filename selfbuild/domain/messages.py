"""What people and the API say to workflows, beside the request that starts a cycle."""

from typing import Annotated

from pydantic import StringConstraints

from selfbuild.domain.base import ApplicationName, TenantId, Value


class RollbackRequest(Value):
    """Input of the workflow RollbackRelease."""

    release_id: str
    reason: Annotated[str, StringConstraints(max_length=2000)]
    requested_by: str
    bar_patch: bool = True
    """False where the patch was not at fault, such as a release that lost its owner."""


class LaunchRequest(Value):
    """Input of the workflow CycleLauncher: whose cycle is due."""

    tenant_id: TenantId
    application: ApplicationName


class Launched(Value):
    """What became of a scheduled cycle."""

    workflow_id: str
    run_id: str | None = None
    """None where no cycle was started."""
    skipped: str = ""
    """Why not."""
