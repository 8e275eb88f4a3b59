"""Errors say what the caller should do.

SelfBuildError
├── TransientError(retry_after_s)   Temporal retries, not before `retry_after_s`
│   ├── Throttled            the dependency asked for fewer calls
│   ├── ProviderOverloaded   a model provider has no capacity
│   └── Unreachable          no answer: network, time-out, server error
└── PermanentError                  never retried
    ├── AccessDenied         the dependency refused our credentials or permission
    ├── TenantDenied         the requester has no grant for the tenant
    ├── NotFound             the named thing does not exist
    ├── InvalidRequest       the request itself is wrong
    ├── QuotaExhausted       a budget or spending limit is used up
    ├── MalformedAnswer      the dependency answered something that is no answer
    ├── Conflict             somebody else was first; look again before acting
    └── Misconfigured        a setting is missing or wrong

The class names are stored in workflow histories: renaming one is a breaking change.
"""


class SelfBuildError(Exception):
    """The root of our own errors; its text names the thing and the remedy."""


class TransientError(SelfBuildError):
    """Worth trying again, not before `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Throttled(TransientError):
    """The dependency asked for fewer calls."""


class ProviderOverloaded(TransientError):
    """A model provider has no capacity for the moment."""


class Unreachable(TransientError):
    """No usable answer came: network, time-out or a server error."""


class PermanentError(SelfBuildError):
    """Trying again changes nothing."""


class AccessDenied(PermanentError):
    """The dependency refused our credentials or permission."""


class TenantDenied(PermanentError):
    """The requester has no grant for the tenant, or the tenant does not exist: both read the same."""


class NotFound(PermanentError):
    """The named thing does not exist."""


class InvalidRequest(PermanentError):
    """The request itself is wrong."""


class QuotaExhausted(PermanentError):
    """A budget or spending limit is used up."""


class MalformedAnswer(PermanentError):
    """The dependency answered something that is no answer."""


class Conflict(PermanentError):
    """Somebody else was first; look again before acting."""


class Misconfigured(PermanentError):
    """A setting is missing or wrong."""


def permanent_error_names() -> tuple[str, ...]:
    """The names Temporal must not retry, in a stable order."""
    return tuple(sorted(cls.__name__ for cls in PermanentError.__subclasses__()))
