"""Claude models, whoever serves them: the messages, the answers and the errors are the same."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import anthropic
import httpx2
from anthropic.resources.messages import DEPRECATED_MODELS
from anthropic.types import Message

from selfbuild.adapters.models.faults import Wording, failure, kind_of
from selfbuild.adapters.models.model_ids import MODELS_WITHOUT_EFFORT, plain_id, require_served, undated
from selfbuild.adapters.models.prices import CLAUDE_PRICES, Price, Tokens
from selfbuild.adapters.models.provider import (
    EMPTY_ANSWER,
    Clock,
    Effort,
    ProviderModel,
    Reply,
    count,
    utc_now,
    warn_of_temperature,
)
from selfbuild.domain.base import Value
from selfbuild.domain.errors import Misconfigured, SelfBuildError
from selfbuild.domain.model_calls import ModelRequest, StopReason

if TYPE_CHECKING:
    Client = anthropic.AsyncAnthropic | anthropic.AsyncAnthropicBedrock

_STOP = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "max_tokens": StopReason.CUT_OFF,
    "model_context_window_exceeded": StopReason.CUT_OFF,
    "refusal": StopReason.REFUSED,
}
_CACHED = {"type": "ephemeral"}
"""Marks the end of a part that the provider keeps for five minutes, so that repairs and later questions read it at a
fraction of its price. Parts below about a thousand tokens are not kept, which is no error."""


class ClaudeOptions(Value):
    """How a Claude model is asked."""

    model: str
    max_tokens: int = 4000
    """Of the answer, in which the model's thinking counts: raise it together with `effort`."""
    effort: Effort | None = "low"
    """How much the model thinks; None leaves it to the model's default, mostly high."""
    streaming: bool = False
    """Receive the answer in pieces, for proxies which cut silent connections."""
    temperature: float | None = None
    """What the operator chose: it is not sent, because these models take none, and a warning says so."""


class ClaudeModel(ProviderModel):
    """Asks a Claude model through a client of Anthropic's SDK."""

    vendor_errors: ClassVar[tuple[type[Exception], ...]] = (anthropic.AnthropicError,)

    def __init__(
        self,
        client: "Client",
        options: ClaudeOptions,
        *,
        name: str,
        wording: Wording,
        setting: str,
        instead: str,
        prices: Mapping[str, Price] = CLAUDE_PRICES,
        now: Clock = utc_now,
    ) -> None:
        """Take over a client; `setting` chooses the model, for messages, and `instead` is one that is served.

        Raises:
            Misconfigured: the model is no longer served, or the client would ask again by itself.
        """
        if client.max_retries != 0:
            raise Misconfigured(f"the client of {name} must not retry by itself: the workflow does")
        self._setting, self._instead, self._now = setting, instead, now
        self._served: set[str] = set()
        self._require_served(options.model)
        super().__init__(name=name, model=options.model, max_tokens=options.max_tokens, wording=wording, prices=prices)
        self._client = client
        self._options = options
        if options.temperature is not None:
            warn_of_temperature(name, options.model)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send(self, request: ModelRequest, *, model: str, timeout: httpx2.Timeout) -> Reply:
        self._require_served(model)
        arguments = self._arguments(request, model) | {"timeout": timeout}
        if not self._options.streaming:
            answer = await self._client.messages.create(**arguments)
            return self._read(answer, model, getattr(answer, "_request_id", None))
        async with self._client.messages.stream(**arguments) as stream:
            # Without a first event the SDK has no message, and asserts that it has one.
            started = ended = False
            async for event in stream:
                started = started or event.type == "message_start"
                ended = ended or event.type == "message_stop"
            if not started:
                raise self.malformed()
            if not ended:
                raise self.cut_stream()
            return self._read(await stream.get_final_message(), model, stream.request_id)

    def _arguments(self, request: ModelRequest, model: str) -> dict[str, Any]:
        output: dict[str, Any] = {"format": {"type": "json_schema", "schema": request.answer_schema}}
        effort = self._options.effort
        if effort is not None and undated(plain_id(model)) not in MODELS_WITHOUT_EFFORT:
            output["effort"] = effort
        turns: list[dict[str, Any]] = [{"role": "user", "content": [_cached(request.user)]}]
        for exchange in request.exchanges:
            turns.append({"role": "assistant", "content": exchange.answer.strip() or EMPTY_ANSWER})
            turns.append({"role": "user", "content": exchange.feedback})
        return {
            "model": model,
            "max_tokens": request.max_tokens or self._max_tokens,
            "system": [_cached(request.system)],
            "messages": turns,
            "output_config": output,
        }

    def _read(self, answer: object, model: str, request_id: str | None) -> Reply:
        if not isinstance(answer, Message) or not isinstance(answer.content, list) or answer.usage is None:
            raise self.malformed()
        used = answer.usage
        texts = [getattr(block, "text", None) for block in answer.content if getattr(block, "type", None) == "text"]
        text = "".join(each for each in texts if isinstance(each, str))
        reason = _STOP.get(str(answer.stop_reason), StopReason.OTHER)
        detail = str(answer.stop_reason)
        if reason is StopReason.REFUSED:
            details = answer.stop_details
            detail = (details and (details.explanation or details.category)) or text or "no reason given"
        return Reply(
            text=text,
            stop_reason=reason,
            stop_detail=detail,
            model=answer.model if isinstance(answer.model, str) else model,
            # Bedrock's answers carry no id of the request where the SDK looks for it.
            request_id=request_id or (answer.id if isinstance(answer.id, str) else None),
            tokens=Tokens(
                fresh=count(used.input_tokens),
                cached=count(used.cache_read_input_tokens),
                written=count(used.cache_creation_input_tokens),
                output=count(used.output_tokens),
            ),
        )

    def _translate(self, error: Exception) -> SelfBuildError | None:
        if isinstance(error, anthropic.APIStatusError):
            headers = error.response.headers
            # Bedrock names the exception in a header, sometimes followed by a colon and an address.
            exception = headers.get("x-amzn-errortype", "").partition(":")[0]
            kind = kind_of((error.error_code, error.type, exception), error.status_code)
            text = self._wording.describe(
                (error.status_code, error.type or exception, error.error_code),
                _said(error),
                error.request_id or headers.get("x-amzn-requestid"),
            )
            return failure(kind, text, headers=headers, now=self._now())
        if isinstance(error, anthropic.APIResponseValidationError):
            return self.malformed(type(error).__name__)
        if isinstance(error, anthropic.CredentialsError):
            return Misconfigured(f"{self.name} has no credentials: {type(error).__name__}")
        return None

    def _require_served(self, model: str) -> None:
        if model in self._served:
            return
        require_served(
            model,
            DEPRECATED_MODELS,
            today=self._now().date(),
            setting=self._setting,
            instead=self._instead,
        )
        self._served.add(model)


def _cached(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": _CACHED}


def _said(error: anthropic.APIStatusError) -> str:
    """The provider's words: Anthropic's `error.message`, Bedrock's `message`, or whatever came."""
    if isinstance(error.api_message, str):
        return error.api_message
    if isinstance(error.body, dict):
        for key in ("message", "Message"):
            if isinstance(error.body.get(key), str):
                return str(error.body[key])
    return re.sub(r"^Error code: \d+ - ", "", error.message)
