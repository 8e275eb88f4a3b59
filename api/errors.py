"""Turns our errors into HTTP and JSON-RPC codes; nothing else does."""

from typing import Any

from selfbuild.domain import errors
from selfbuild.domain.access import RateDecision

UNAUTHORIZED = "Unauthorized: Invalid or missing API key"
INTERNAL = "Internal error: see the server's log"
_CODES: tuple[tuple[type[errors.SelfBuildError], int], ...] = (
    (errors.InvalidRequest, 400),
    (errors.TenantDenied, 403),
    (errors.AccessDenied, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.MalformedAnswer, 422),
    (errors.QuotaExhausted, 429),
    (errors.Misconfigured, 503),
    (errors.TransientError, 503),
)


class Unauthorized(Exception):
    """The key is missing, unknown, expired or revoked: all read the same."""


class RateLimited(Exception):
    """No call is left in this hour."""

    def __init__(self, tool: str, decision: RateDecision) -> None:
        super().__init__(f"Rate limit exceeded: {decision.limit} calls of {tool} an hour")
        self.tool = tool
        self.decision = decision


def code_of(error: errors.SelfBuildError) -> int:
    """The HTTP status, and the JSON-RPC code, of one of our errors."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


def error_body(code: int, message: str, details: Any = None) -> dict[str, Any]:
    """The promised shape of every error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if details is not None:
        error["details"] = details
    return {"error": error}
