"""Patches from a Claude model: one request an answer, no retries of its own, vendor errors as ours.

Importing this costs about a second and 76 MB (the SDK): only activity workers do. The SDK logs whole prompts at level
DEBUG on the logger `anthropic`, so the log configuration must keep that logger at INFO.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import anthropic
import httpx2
import structlog
from anthropic.resources.messages import DEPRECATED_MODELS
from anthropic.types import Message

from selfbuild.adapters.prompt import ANSWER_SCHEMA, REDACTED, Prompt, build_prompt, clean_text, decline_reason
from selfbuild.domain.base import Value
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    Misconfigured,
    ProviderOverloaded,
    QuotaExhausted,
    SelfBuildError,
    Throttled,
    TransientError,
    Unreachable,
)
from selfbuild.domain.model_calls import Usage
from selfbuild.domain.patches import PatchRequest, Proposal
from selfbuild.gate import AnswerProblem, read_answer

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock

    Client = AsyncAnthropic | AsyncAnthropicBedrock

_log = structlog.get_logger()

DEFAULT_MODEL = "claude-sonnet-5-5"
BASE_URL = "https://api.anthropic.com"
CONNECT_TIMEOUT_S = 5.0
MAX_RETRY_AFTER_S = 600.0
"""Longer waits are cut: the header may ask for days, and a later attempt is told the rest."""
MESSAGE_CHARS = 500

Effort = Literal["low", "medium", "high", "xhigh", "max"]

MODELS_WITHOUT_EFFORT = frozenset(
    {"claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"}
)
"""They refuse `output_config.effort` with a 400."""


class Price(Value):
    """USD per million tokens."""

    input_usd: float
    output_usd: float
    cache_read_usd: float
    cache_write_usd: float
    """For the cache that lives five minutes."""


PRICES: Mapping[str, Price] = {
    "claude-fable-5-1": Price(input_usd=10, output_usd=50, cache_read_usd=0.25, cache_write_usd=12.5),
    "claude-opus-5-5": Price(input_usd=4, output_usd=20, cache_read_usd=0.2, cache_write_usd=5),
    "claude-opus-5": Price(input_usd=5, output_usd=25, cache_read_usd=0.5, cache_write_usd=6.25),
    "claude-sonnet-5-5": Price(input_usd=2, output_usd=10, cache_read_usd=0.1, cache_write_usd=2.5),
    "claude-sonnet-5": Price(input_usd=2, output_usd=10, cache_read_usd=0.2, cache_write_usd=2.5),
    "claude-haiku-5-5": Price(input_usd=0.1, output_usd=0.5, cache_read_usd=0.01, cache_write_usd=0.125),
    "claude-haiku-4-5": Price(input_usd=1, output_usd=5, cache_read_usd=0.1, cache_write_usd=1.25),
}
"""List prices of November 2026, https://platform.claude.com/docs/en/about-claude/pricing. Discounts, regional
surcharges and Haiku 5.5's price above 100,000 input tokens (prompts here stay below) are not included."""

_SPEND_LIMITS = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
    }
)
"""Limits of money, some with status 429. `ramp_limit_exceeded` is not one: it caps growth and asks to come later."""

_ERROR_OF_TYPE: Mapping[str, type[SelfBuildError]] = {
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
}
_ERROR_OF_STATUS: Mapping[int, type[SelfBuildError]] = {
    401: AccessDenied,
    402: QuotaExhausted,
    403: AccessDenied,
    408: Unreachable,
    409: Unreachable,
    429: Throttled,
    529: ProviderOverloaded,
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AnthropicGenerator:
    """Asks a Claude model for a patch. Sampling cannot be set: these models take no temperature."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = BASE_URL,
        client_factory: "Callable[[], Client] | None" = None,
        model: str = DEFAULT_MODEL,
        max_tokens: int = 4000,
        effort: Effort | None = "low",
        streaming: bool = False,
        prices: Mapping[str, Price] = PRICES,
        now: Callable[[], datetime] = _utc_now,
        name: str = "anthropic",
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            client_factory: Makes the SDK's client instead of `api_key` and `base_url`, for example for Bedrock.
            max_tokens: Of the answer, in which the model's thinking counts: raise it together with `effort`.
            effort: How much the model thinks; None leaves it to the model's default, mostly high.
            streaming: Receive the answer in pieces, for proxies which cut silent connections.
            prices: By model id without its date; a model that is not in it is reported with its tokens at cost 0.

        Raises:
            Misconfigured: no usable key, no usable address, or a model that is no longer served.
        """
        self.name = name
        self.model = model
        self._key = (api_key or "").strip()
        _require_served(model, now().date())
        client = client_factory() if client_factory else _client(self._key, base_url)
        self._client = client.with_options(max_retries=0)
        self._max_tokens = max_tokens
        self._effort = None if model in MODELS_WITHOUT_EFFORT else effort
        self._streaming = streaming
        self._now = now
        self._price = prices.get(model) or prices.get(re.sub(r"-\d{8}$", "", model))
        if self._price is None:
            _log.warning("price.missed", provider=name, model=model, consequence="answers are reported at cost 0")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """One answer of the model, or a refusal with its reason.

        Raises:
            Throttled, ProviderOverloaded, Unreachable: worth trying again.
            AccessDenied, QuotaExhausted, InvalidRequest, MalformedAnswer, Misconfigured: ask the next provider.
        """
        prompt = build_prompt(request)
        started_s = time.monotonic()
        answer, request_id = await self._ask(prompt, timeout_s=timeout_s)
        if not isinstance(answer, Message) or not isinstance(answer.content, list) or answer.usage is None:
            raise MalformedAnswer(
                f"{self.name} answered with something that is no message: is there a proxy in between?"
            )
        usage = self._usage(answer)
        _log.info(
            "answer.received",
            provider=self.name,
            model=self.model,
            request_id=request_id,
            stop_reason=answer.stop_reason,
            duration_ms=round((time.monotonic() - started_s) * 1000, 1),
            prompt_version=prompt.version,
            prompt_digest=prompt.digest,
            prompt_chars=len(prompt.system) + len(prompt.user),
            **usage.model_dump(),
        )
        patch_or_refusal = self._read(answer)
        return Proposal(
            provider=self.name,
            **patch_or_refusal,
            model=answer.model or self.model,
            request_id=request_id,
            stop_reason=answer.stop_reason,
            usage=usage,
        )

    async def _ask(self, prompt: Prompt, *, timeout_s: float) -> tuple[object, str | None]:
        """The raw answer with its request id; every vendor error becomes one of ours."""
        try:
            # The SDK's time-out is for each read: a trickling answer would never reach it.
            async with asyncio.timeout(timeout_s):
                return await self._send(prompt, timeout_s=timeout_s)
        except TimeoutError as error:
            raise Unreachable(f"{self.name} gave no answer within {timeout_s:g} s") from error
        except TypeError as error:
            # What the SDK raises at the first request when its client has no credentials.
            if "authentication method" not in str(error):
                raise
            raise Misconfigured(f"{self.name} has no credentials: set the API key") from error
        except (anthropic.AnthropicError, httpx2.HTTPError, json.JSONDecodeError) as error:
            ours = self._translate(error)
            # An answer that echoes the key must not carry it into tracebacks and histories.
            raise ours from (None if self._key and self._key in str(error) else error)

    async def _send(self, prompt: Prompt, *, timeout_s: float) -> tuple[object, str | None]:
        output: dict[str, Any] = {"format": {"type": "json_schema", "schema": ANSWER_SCHEMA}}
        if self._effort is not None:
            output["effort"] = self._effort
        arguments: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self._max_tokens,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user}],
            "output_config": output,
            "timeout": httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        }
        if not self._streaming:
            answer = await self._client.messages.create(**arguments)
            return answer, getattr(answer, "_request_id", None)
        async with self._client.messages.stream(**arguments) as stream:
            # Without a first event the SDK has no message, and asserts that it has one.
            started = False
            async for event in stream:
                started = started or event.type == "message_start"
            return (await stream.get_final_message() if started else None), stream.request_id

    def _read(self, answer: Message) -> dict[str, Any]:
        """`patch` or `refusal`. The reason for stopping comes first: a text that was cut off must not be read."""
        text = "".join(block.text for block in answer.content if block.type == "text")
        if answer.stop_reason == "refusal":
            details = answer.stop_details
            reason = (details and (details.explanation or details.category)) or text or "no reason given"
            return {"patch": None, "refusal": f"refused by the model: {self._clean(reason)}"}
        if answer.stop_reason not in ("end_turn", "stop_sequence"):
            raise MalformedAnswer(
                f"{self.name} ended its answer with {clean_text(str(answer.stop_reason), 50)!r} "
                f"at max_tokens={self._max_tokens}: raise LLM_MAX_TOKENS if answers are cut off"
            )
        declined = decline_reason(text)
        if declined is not None:
            return {"patch": None, "refusal": f"declined by the model: {self._clean(declined)}"}
        read = read_answer(text)
        if isinstance(read, AnswerProblem):
            return {"patch": None, "refusal": f"answer {read.check}: {self._clean(read.reason)}"}
        return {"patch": read}

    def _usage(self, answer: Message) -> Usage:
        """Tokens and list price; tokens of the cache are input tokens."""
        used = answer.usage
        fresh, output = used.input_tokens or 0, used.output_tokens or 0
        cached, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
        cost_usd = 0.0
        if self._price is not None:
            price = self._price
            cost_usd = fresh * price.input_usd + output * price.output_usd
            cost_usd += cached * price.cache_read_usd + written * price.cache_write_usd
        return Usage(
            input_tokens=fresh + cached + written, output_tokens=output, cost_usd=round(cost_usd / 1_000_000, 8)
        )

    def _translate(self, error: Exception) -> SelfBuildError:
        """Our error for the vendor's: by the named cause, then by type, then by status (200 in mid-stream)."""
        if isinstance(error, anthropic.APIStatusError):
            kind = _kind_of(error)
            retry_after_s = _retry_after_s(error.response.headers, self._now())
            if issubclass(kind, TransientError):
                return kind(self._describe(error), retry_after_s=retry_after_s)
            return kind(self._describe(error))
        if isinstance(error, anthropic.APIResponseValidationError | json.JSONDecodeError):
            return MalformedAnswer(f"{self.name} answered with something that is no message: {type(error).__name__}")
        if isinstance(error, anthropic.CredentialsError):
            return Misconfigured(f"{self.name} has no credentials: {type(error).__name__}")
        return Unreachable(f"{self.name} cannot be reached: {type(error.__cause__ or error).__name__}")

    def _describe(self, error: anthropic.APIStatusError) -> str:
        text = error.api_message if isinstance(error.api_message, str) else error.message
        named = " ".join(str(part) for part in (error.status_code, error.type, error.error_code) if part)
        request = f", request {clean_text(error.request_id, 100)}" if error.request_id else ""
        return f"{self.name} answered {clean_text(named, 100)}{request}: {self._clean(text)}"

    def _clean(self, text: str) -> str:
        return clean_text(text.replace(self._key, REDACTED) if self._key else text, MESSAGE_CHARS)


def _client(key: str, base_url: str) -> "AsyncAnthropic":
    if not key:
        raise Misconfigured(
            "no Anthropic API key: set ANTHROPIC_API_KEY, or LLM_PROVIDER=recipes to go without a model"
        )
    # The HTTP library puts an illegal header value, and so the key, into its error text.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise Misconfigured("the Anthropic API key contains blanks or characters which a key cannot have")
    try:
        return anthropic.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0)
    except (httpx2.InvalidURL, anthropic.AnthropicError) as error:
        raise Misconfigured(f"no Anthropic client for base URL {base_url!r}: {type(error).__name__}") from error


def _require_served(model: str, today: date) -> None:
    """Refuse a model whose last day has come, by the SDK's own list; warn of one whose day is known."""
    last_day = DEPRECATED_MODELS.get(model)
    if last_day is None:
        return
    ended_on = datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd|th)", "", last_day), "%B %d, %Y").date()
    if ended_on <= today:
        raise Misconfigured(
            f"model {model!r} ended on {ended_on.isoformat()}: set LLM_MODEL, for example {DEFAULT_MODEL!r}"
        )
    _log.warning("model.deprecated", model=model, ends_on=ended_on.isoformat(), remedy=f"set LLM_MODEL={DEFAULT_MODEL}")


def _kind_of(error: anthropic.APIStatusError) -> type[SelfBuildError]:
    if error.error_code in _SPEND_LIMITS:
        return QuotaExhausted
    by_type = _ERROR_OF_TYPE.get(error.type) if isinstance(error.type, str) else None
    if by_type is not None:
        return by_type
    return _ERROR_OF_STATUS.get(error.status_code) or (
        InvalidRequest if 400 <= error.status_code < 500 else Unreachable
    )


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
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
