"""What providers' failures mean: one place for the words of all of them, free of the providers' SDKs."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from selfbuild.adapters.prompt import REDACTED, clean_text
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    ProviderOverloaded,
    QuotaExhausted,
    SelfBuildError,
    Throttled,
    TransientError,
    Unreachable,
)

MAX_RETRY_AFTER_S = 600.0
"""Longer waits are cut: the header may ask for days, and a later attempt is told the rest."""
MESSAGE_CHARS = 500
SECRET_CHARS = 12
"""Shorter keys are no secrets but what people give to local servers, such as `EMPTY`, and stand in code by chance."""

_ERROR_OF_WORD: Mapping[str, type[SelfBuildError]] = {
    # Anthropic: limits of money, some with status 429. `ramp_limit_exceeded` is none: it asks to come later.
    "contract_spend_limit_reached": QuotaExhausted,
    "enforced_spend_limit_reached": QuotaExhausted,
    "linked_organization_spend_limit_reached": QuotaExhausted,
    "linked_organization_billing_unavailable": QuotaExhausted,
    "overloaded_error": ProviderOverloaded,
    "rate_limit_error": Throttled,
    "api_error": Unreachable,
    "timeout_error": Unreachable,
    "billing_error": QuotaExhausted,
    "authentication_error": AccessDenied,
    "permission_error": AccessDenied,
    "invalid_request_error": InvalidRequest,
    "not_found_error": InvalidRequest,
    "request_too_large": InvalidRequest,
    # Bedrock: exceptions by name, in streams as well as in the header `x-amzn-errortype`.
    "throttlingexception": Throttled,
    "servicequotaexceededexception": QuotaExhausted,
    "modelnotreadyexception": ProviderOverloaded,
    "serviceunavailableexception": ProviderOverloaded,
    "modeltimeoutexception": Unreachable,
    "modelerrorexception": Unreachable,
    "modelstreamerrorexception": Unreachable,
    "internalserverexception": Unreachable,
    "accessdeniedexception": AccessDenied,
    "unrecognizedclientexception": AccessDenied,
    "expiredtokenexception": AccessDenied,
    "invalidsignatureexception": AccessDenied,
    "validationexception": InvalidRequest,
    "resourcenotfoundexception": InvalidRequest,
    # OpenAI: `code` first, then `type`.
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "rate_limit_exceeded": Throttled,
    "tokens": Throttled,
    "requests": Throttled,
    "slow_down": ProviderOverloaded,
    "server_is_overloaded": ProviderOverloaded,
    "engine_overloaded": ProviderOverloaded,
    "server_error": Unreachable,
    "invalid_api_key": AccessDenied,
    "model_not_found": InvalidRequest,
}
"""The error for a provider's own word for what went wrong."""

_ERROR_OF_STATUS: Mapping[int, type[SelfBuildError]] = {
    401: AccessDenied,
    402: QuotaExhausted,
    403: AccessDenied,
    408: Unreachable,
    409: Unreachable,
    425: Unreachable,
    429: Throttled,
    529: ProviderOverloaded,
}


def kind_of(words: Iterable[object], status: int | None) -> type[SelfBuildError]:
    """The error for the first word that is known, else for the status.

    Words come first because a stream that fails midway has status 200, and a limit of money may have 429.
    """
    for word in words:
        known = _ERROR_OF_WORD.get(word.casefold()) if isinstance(word, str) else None
        # Some servers call every 4xx an invalid request: then the status says more.
        if known is InvalidRequest and status in _ERROR_OF_STATUS:
            continue
        if known is not None:
            return known
    if status is None or status < 400:
        return Unreachable
    return _ERROR_OF_STATUS.get(status) or (InvalidRequest if status < 500 else Unreachable)


def failure(kind: type[SelfBuildError], text: str, *, headers: Mapping[str, str], now: datetime) -> SelfBuildError:
    """The error with the wait that the headers ask for, where it is one worth waiting for."""
    if issubclass(kind, TransientError):
        return kind(text, retry_after_s=retry_after_s(headers, now))
    return kind(text)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds asked for by `retry-after` (a number or an HTTP date) or `retry-after-ms`, within bounds."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / scale
        except ValueError:
            try:
                at = parsedate_to_datetime(value)
            except ValueError:
                continue
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
    return None


class Wording:
    """Makes texts of a provider fit to be shown: no secret of ours, no control characters, bounded."""

    def __init__(self, provider: str, *secrets: str | None) -> None:
        self.provider = provider
        self._secrets = tuple(secret for secret in secrets if secret and len(secret) >= SECRET_CHARS)

    def __repr__(self) -> str:
        return f"Wording({self.provider!r})"

    def without_secrets(self, text: str) -> str:
        """The text, otherwise unchanged."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def holds_secret(self, text: str) -> bool:
        """Whether a text must not be shown as it is."""
        return any(secret in text for secret in self._secrets)

    def clean(self, text: str, limit: int = MESSAGE_CHARS) -> str:
        """The text, fit to be shown."""
        return clean_text(self.without_secrets(text), limit)

    def describe(self, named: Iterable[object], text: str, request_id: str | None) -> str:
        """One line on a failure: what the provider called it, the request, its own words."""
        words = self.clean(" ".join(str(part) for part in named if part), 100)
        request = f", request {self.clean(request_id, 100)}" if request_id else ""
        return f"{self.provider} answered {words}{request}: {self.clean(text)}"
