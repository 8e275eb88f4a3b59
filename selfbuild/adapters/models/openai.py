"""Models at OpenAI, and at every server that speaks its chat completions: llama.cpp, vLLM, Ollama, gateways."""

from collections.abc import Mapping
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from selfbuild.adapters.models.faults import Wording, failure, kind_of
from selfbuild.adapters.models.model_ids import OPENAI_MODEL, reasons
from selfbuild.adapters.models.prices import OPENAI_PRICES, Price, Tokens
from selfbuild.adapters.models.provider import (
    EMPTY_ANSWER,
    Clock,
    Effort,
    ProviderModel,
    Reply,
    count,
    usable_key,
    utc_now,
    warn_of_temperature,
)
from selfbuild.domain.base import Value
from selfbuild.domain.errors import Misconfigured, SelfBuildError
from selfbuild.domain.model_calls import ModelRequest, StopReason

BASE_URL = "https://api.openai.com/v1"
NO_KEY = "no-key-needed"
"""Sent to servers on this machine, which need none: the SDK refuses to send nothing."""
DEFAULT_TEMPERATURE = 1.0
"""Every server's own: it is chosen by sending none."""

_STOP = {
    "stop": StopReason.END,
    "length": StopReason.CUT_OFF,
    "content_filter": StopReason.REFUSED,
}
_REMEDIES = {
    "temperature": "set LLM_TEMPERATURE=1, which is not sent",
    "response_format": "the server cannot answer by a JSON schema: set OPENAI_MODEL or OPENAI_BASE_URL to one that can",
    "json_schema": "the server cannot answer by a JSON schema: set OPENAI_MODEL or OPENAI_BASE_URL to one that can",
    "reasoning_effort": "set LLM_EFFORT=default, which is not sent",
    "max_completion_tokens": "set LLM_MAX_TOKENS to what the model allows",
    "max_tokens": "set LLM_MAX_TOKENS to what the model allows",
}
"""What to change when a server refuses one of our parameters, by the parameter it names."""


class OpenAiOptions(Value):
    """How a model is asked."""

    model: str = OPENAI_MODEL
    max_tokens: int = 4000
    """Of the answer, in which the model's thinking counts."""
    effort: Effort | None = "low"
    """Sent to models that think; None leaves it to the model's default."""
    temperature: float | None = None
    """Sent to models that do not think; None or 1 = the server's own."""
    streaming: bool = False


class OpenAiModel(ProviderModel):
    """Asks one question as a chat completion whose answer follows a JSON schema."""

    vendor_errors = (openai.OpenAIError,)

    def __init__(
        self,
        *,
        api_key: str | None,
        options: OpenAiOptions | None = None,
        base_url: str = BASE_URL,
        key_required: bool = True,
        prices: Mapping[str, Price] = OPENAI_PRICES,
        now: Clock = utc_now,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            key_required: False for servers on this machine.

        Raises:
            Misconfigured: no usable key, or no usable address.
        """
        self._options = options or OpenAiOptions()
        if api_key is None and not key_required:
            key = NO_KEY
        else:
            key = usable_key(api_key, what="OpenAI API key", setting="OPENAI_API_KEY")
        super().__init__(
            name="openai",
            model=self._options.model,
            max_tokens=self._options.max_tokens,
            wording=Wording("openai", None if key == NO_KEY else key),
            prices=prices,
        )
        self._now = now
        try:
            self._client = openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0)
        except (httpx2.InvalidURL, openai.OpenAIError) as error:
            raise Misconfigured(f"no OpenAI client for this base URL: {type(error).__name__}") from None
        if self._options.temperature is not None and reasons(self.model):
            warn_of_temperature(self.name, self.model)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send(self, request: ModelRequest, *, model: str, timeout: httpx2.Timeout) -> Reply:
        arguments = self._arguments(request, model) | {"timeout": timeout}
        if self._options.streaming:
            return await self._streamed(arguments, model)
        answer = await self._client.chat.completions.create(**arguments)
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise self.malformed()
        choice = answer.choices[0]
        message = getattr(choice, "message", None)
        if message is None:
            raise self.malformed()
        return _reply(
            text=message.content,
            refusal=message.refusal,
            finish=choice.finish_reason,
            model=answer.model or model,
            request_id=getattr(answer, "_request_id", None) or answer.id,
            usage=answer.usage,
        )

    async def _streamed(self, arguments: dict[str, Any], model: str) -> Reply:
        """The chunks put together; the last one has no choice, but the usage."""
        texts: list[str] = []
        refusals: list[str] = []
        finish, usage, request_id, chunk = None, None, None, None
        stream = await self._client.chat.completions.create(
            **arguments, stream=True, stream_options={"include_usage": True}
        )
        async with stream:
            async for chunk in stream:
                if not isinstance(chunk, ChatCompletionChunk):
                    raise self.malformed()
                usage = chunk.usage or usage
                for choice in (chunk.choices or [])[:1]:
                    texts.append(choice.delta.content or "")
                    refusals.append(getattr(choice.delta, "refusal", None) or "")
                    finish = choice.finish_reason or finish
            request_id = stream.response.headers.get("x-request-id")
        if chunk is None:
            raise self.malformed()
        if finish is None:
            raise self.cut_stream()
        return _reply(
            text="".join(texts),
            refusal="".join(refusals) or None,
            finish=finish,
            model=chunk.model or model,
            request_id=request_id or chunk.id,
            usage=usage,
        )

    def _arguments(self, request: ModelRequest, model: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
        for exchange in request.exchanges:
            messages.append({"role": "assistant", "content": exchange.answer.strip() or EMPTY_ANSWER})
            messages.append({"role": "user", "content": exchange.feedback})
        form = {"name": request.schema_name, "strict": True, "schema": request.answer_schema}
        arguments: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "response_format": {"type": "json_schema", "json_schema": form},
        }
        limit = request.max_tokens or self._max_tokens
        if reasons(model):
            arguments["max_completion_tokens"] = limit
            if self._options.effort is not None:
                arguments["reasoning_effort"] = self._options.effort
            return arguments
        # The older name, because local servers do not all know the newer one.
        arguments["max_tokens"] = limit
        if self._options.temperature not in (None, DEFAULT_TEMPERATURE):
            arguments["temperature"] = self._options.temperature
        return arguments

    def _translate(self, error: Exception) -> SelfBuildError | None:
        if isinstance(error, openai.APIResponseValidationError):
            return self.malformed(type(error).__name__)
        if isinstance(error, openai.APIConnectionError) or not isinstance(error, openai.APIError):
            return None
        # An error in mid-stream has no status of its own, and no response.
        response = getattr(error, "response", None)
        status = response.status_code if response is not None else None
        kind = kind_of((error.code, error.type), status)
        text = self._wording.describe(
            (status or 200, error.type, error.code), _said(error), getattr(error, "request_id", None)
        )
        if status in (400, 422):
            text += _remedy(error)
        return failure(kind, text, headers=response.headers if response is not None else {}, now=self._now())


def _reply(*, text: Any, refusal: Any, finish: Any, model: Any, request_id: Any, usage: Any) -> Reply:
    """The answer, by what came; local servers leave out much."""
    text = text if isinstance(text, str) else ""
    reason, detail = _STOP.get(str(finish), StopReason.OTHER), str(finish)
    if refusal:
        reason, detail = StopReason.REFUSED, str(refusal)
    elif reason is StopReason.REFUSED:
        detail = text or "held back by the provider's content filter"
    details = getattr(usage, "prompt_tokens_details", None)
    cached = count(getattr(details, "cached_tokens", None))
    written = count(getattr(details, "cache_write_tokens", None))
    return Reply(
        text=text,
        stop_reason=reason,
        stop_detail=detail,
        model=str(model),
        request_id=request_id if isinstance(request_id, str) else None,
        tokens=Tokens(
            fresh=max(count(getattr(usage, "prompt_tokens", None)) - cached - written, 0),
            cached=cached,
            written=written,
            output=count(getattr(usage, "completion_tokens", None)),
        ),
    )


def _said(error: openai.APIError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return body if isinstance(body, str) else error.message


def _remedy(error: openai.APIError) -> str:
    """The setting to change, where the server named one of our parameters."""
    said = f"{error.param or ''} {_said(error)}"
    for parameter, remedy in _REMEDIES.items():
        if error.param == parameter or f"{parameter}" in said:
            return f"; {remedy}"
    return ""
