"""What every domain value shares: immutability, tolerance for unknown fields, names, digests."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Tenant and application names: they stand in workflow ids, paths, git refs and metric dimensions."""

TenantId = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ApplicationName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class Value(BaseModel):
    """A frozen value. Unknown fields are ignored, so that a newer worker may hand over to an older one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Verdict(StrEnum):
    """What a check or a judge says. Worst wins; only PASS promotes."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"


_WORST_FIRST = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of the verdicts; INCONCLUSIVE for none, since nothing was shown."""
    return next((v for v in _WORST_FIRST if v in verdicts), Verdict.INCONCLUSIVE)


class ArtifactRef(Value):
    """Where a stored artifact lies, so that its content need not cross Temporal."""

    digest: str
    """SHA-256 of the content, hex."""
    size_bytes: int
    media_type: str = "application/json"


class CodeLocation(Value):
    """A place in the application's repository."""

    path: str
    """Relative to the repository root, with forward slashes."""
    line: int | None = None
    function: str | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


def digest_of(*parts: str) -> str:
    """SHA-256, hex, over the parts with a separator that cannot occur in them by accident."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def run8(run_id: str) -> str:
    """What tells runs apart in ids: the last 8 hex digits.

    The server's run ids are UUIDs of version 7: their first 8 digits are a clock that ticks about once a minute.
    """
    return run_id.replace("-", "")[-8:]


def cycle_id_of(started_at: datetime, run_id: str) -> str:
    """The public id of a cycle: `cycle_{UTC yyyymmdd_hhmmss}_{run8}`."""
    return f"cycle_{started_at:%Y%m%d_%H%M%S}_{run8(run_id)}"


__all__ = [
    "NAME_PATTERN",
    "ApplicationName",
    "ArtifactRef",
    "AwareDatetime",
    "CodeLocation",
    "Sha",
    "TenantId",
    "Value",
    "Verdict",
    "cycle_id_of",
    "digest_of",
    "run8",
    "worst",
]
