"""What all providers of language models share: one HTTP request an answer, one time limit, one vocabulary of errors.

The SDKs log whole prompts at level DEBUG, so the log configuration must keep their loggers at INFO.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import httpx2
import structlog

from selfbuild.adapters.models.faults import Wording
from selfbuild.adapters.models.model_ids import plain_id, undated
from selfbuild.adapters.models.prices import UNKNOWN, Price, Tokens
from selfbuild.domain.base import Value, digest_of
from selfbuild.domain.errors import MalformedAnswer, Misconfigured, SelfBuildError, Unreachable
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, StopReason

_log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5.0
MAX_TOKENS = 4000
EMPTY_ANSWER = "(no text)"
"""Stands for an earlier answer without text, which no provider accepts as a turn."""

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Reply(Value):
    """An answer as the provider gave it."""

    text: str
    stop_reason: StopReason
    stop_detail: str
    model: str
    request_id: str | None
    tokens: Tokens


def utc_now() -> datetime:
    """The present, for those who are given no other clock."""
    return datetime.now(UTC)


class ProviderModel(ABC):
    """Implements `ports.LanguageModel`, but for sending a question and reading errors."""

    vendor_errors: ClassVar[tuple[type[Exception], ...]]
    """What the SDK raises by itself."""

    def __init__(
        self, *, name: str, model: str, max_tokens: int, wording: Wording, prices: Mapping[str, Price]
    ) -> None:
        self.name = name
        self.model = model
        self._max_tokens = max_tokens
        self._wording = wording
        self._prices = prices
        self._unpriced: set[str] = set()
        self._price_of(model)

    async def ask(self, request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        """One request, one answer; see the port."""
        model = request.model or self.model
        started_s = time.monotonic()
        reply = await self._answered(request, model, timeout_s=timeout_s)
        usage = self._price_of(model).usage(reply.tokens)
        _log.info(
            "answer.received",
            provider=self.name,
            model=model,
            request_id=reply.request_id,
            stop_reason=reply.stop_reason.value,
            duration_ms=round((time.monotonic() - started_s) * 1000, 1),
            question_digest=digest_of(request.system, request.user, *(each.answer for each in request.exchanges)),
            question_chars=len(request.system) + len(request.user),
            cached_tokens=reply.tokens.cached,
            **usage.model_dump(),
        )
        return ModelAnswer(
            provider=self.name,
            model=self._wording.clean(reply.model, 200),
            text=self._wording.without_secrets(reply.text),
            stop_reason=reply.stop_reason,
            stop_detail=self._wording.clean(reply.stop_detail),
            request_id=reply.request_id and self._wording.clean(reply.request_id, 200),
            usage=usage,
        )

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

    @abstractmethod
    async def _send(self, request: ModelRequest, *, model: str, timeout: httpx2.Timeout) -> Reply:
        """Exactly one HTTP request."""

    @abstractmethod
    def _translate(self, error: Exception) -> SelfBuildError | None:
        """Our error for one of the SDK; None for what every provider has: connections and texts that are no JSON."""

    async def _answered(self, request: ModelRequest, model: str, *, timeout_s: float) -> Reply:
        """The answer; every error of others becomes one of ours."""
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        theirs: tuple[type[Exception], ...] = (
            *self.vendor_errors,
            httpx2.HTTPError,
            json.JSONDecodeError,
            UnicodeDecodeError,
        )
        try:
            # The SDKs' time-outs are for each read: a trickling answer would never reach them.
            async with asyncio.timeout(timeout_s):
                return await self._send(request, model=model, timeout=timeout)
        except TimeoutError as error:
            raise Unreachable(f"{self.name} gave no answer within {timeout_s:g} s") from error
        except (TypeError, RuntimeError) as error:
            misuse = self._of_the_client(error)
            if misuse is None:
                raise
            raise misuse from error
        except theirs as error:
            ours = self._translate(error) or self._of_the_connection(error)
            # An answer that echoes the key must not carry it into tracebacks and histories.
            raise ours from (None if self._wording.holds_secret(str(error)) else error)

    def _of_the_client(self, error: Exception) -> SelfBuildError | None:
        """What the SDKs raise as bare built-in errors: no credentials, found at the first request; torn streams."""
        text = str(error)
        if "authentication method" in text or "AWS credentials" in text:
            return Misconfigured(f"{self.name} has no credentials: set its key")
        if "event order" in text:
            return self.malformed()
        return None

    def _of_the_connection(self, error: Exception) -> SelfBuildError:
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return self.malformed(type(error).__name__)
        return Unreachable(f"{self.name} cannot be reached: {type(error.__cause__ or error).__name__}")

    def malformed(self, detail: str = "") -> MalformedAnswer:
        """The error for an answer that is not of the protocol."""
        why = f" ({detail})" if detail else ""
        return MalformedAnswer(
            f"{self.name} answered with something that is no message{why}: is there a proxy in between?"
        )

    def cut_stream(self) -> Unreachable:
        """The error for a stream that ended properly, but before its answer did."""
        return Unreachable(f"{self.name} ended its stream in the middle of the answer")

    def _price_of(self, model: str) -> Price:
        plain = plain_id(model)
        price = self._prices.get(plain) or self._prices.get(undated(plain))
        if price is None and model not in self._unpriced:
            self._unpriced.add(model)
            _log.warning("price.missed", provider=self.name, model=model, consequence="answers are reported at cost 0")
        return price or UNKNOWN


def warn_of_temperature(provider: str, model: str) -> None:
    """Say that a chosen temperature is not sent."""
    _log.warning(
        "temperature.ignored", provider=provider, model=model, reason="the model takes no temperature, only an effort"
    )


def usable_key(key: str | None, *, what: str, setting: str) -> str:
    """The key, stripped.

    Raises:
        Misconfigured: there is none, or it has characters which the HTTP library would show in its error text.
    """
    key = (key or "").strip()
    if not key:
        raise Misconfigured(f"no {what}: set {setting}, or LLM_PROVIDER=recipes to go without a model")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise Misconfigured(f"the {what} contains blanks or characters which a key cannot have: see {setting}")
    return key


def count(value: Any) -> int:
    """A number of tokens as it came in; 0 for what is none."""
    return value if isinstance(value, int) and value > 0 else 0


Clock = Callable[[], datetime]
