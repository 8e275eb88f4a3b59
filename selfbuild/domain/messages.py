"""What people and the API say to workflows, beside the request that starts a cycle."""

from typing import Annotated

from pydantic import StringConstraints

from selfbuild.domain.base import Value


class RollbackRequest(Value):
    """Input of the workflow RollbackRelease."""

    release_id: str
    reason: Annotated[str, StringConstraints(max_length=2000)]
    requested_by: str
    bar_patch: bool = True
    """False where the patch was not at fault, such as a release that lost its owner."""
