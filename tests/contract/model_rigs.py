"""Language models over real HTTP, each before a local server that speaks its provider's protocol."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from selfbuild.adapters.models.anthropic import AnthropicModel
from selfbuild.adapters.models.bedrock import AwsKeys, BedrockModel
from selfbuild.adapters.models.claude import ClaudeModel, ClaudeOptions
from selfbuild.adapters.models.model_ids import BEDROCK_MODEL, CLAUDE_MODEL, OPENAI_MODEL
from selfbuild.adapters.models.openai import OpenAiModel, OpenAiOptions
from selfbuild.domain.model_calls import Exchange, ModelRequest
from tests.servers.llm import LlmServer, Received, Reply

KEY = "a-key-of-no-known-form-0123456789"
REGION = "eu-north-1"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
DEFAULTS = {"anthropic": CLAUDE_MODEL, "bedrock": BEDROCK_MODEL, "openai": OPENAI_MODEL}

Model = ClaudeModel | OpenAiModel


@dataclass(frozen=True)
class Rig:
    """One provider, with or without streaming."""

    provider: str
    streaming: bool = False

    @property
    def name(self) -> str:
        """For the ids of tests."""
        return f"{self.provider}-streaming" if self.streaming else self.provider

    def make(self, url: str, *, key: str | None = KEY, options: Mapping[str, Any] | None = None, **more: Any) -> Model:
        """The model, before a server at `url`; Bedrock signs with `key` as the secret."""
        chosen = {"model": DEFAULTS[self.provider], "streaming": self.streaming, **(options or {})}
        if self.provider == "openai":
            return OpenAiModel(api_key=key, base_url=f"{url}/v1", options=OpenAiOptions(**chosen), **more)
        claude = ClaudeOptions(**chosen)
        if self.provider == "anthropic":
            return AnthropicModel(api_key=key, base_url=url, options=claude, **more)
        if "bearer_token" not in more:
            more["keys"] = AwsKeys(access_key="AKIDTEST", secret_key=key or "")
        return BedrockModel(region=REGION, base_url=url, options=claude, **more)

    @asynccontextmanager
    async def before(
        self, reply: Reply, *, server_key: str | None = KEY, **more: Any
    ) -> AsyncIterator[tuple[Model, LlmServer]]:
        """The model before a server that gives the reply, and demands the key."""
        with LlmServer(reply, key=server_key) as server:
            model = self.make(server.url, **more)
            try:
                yield model, server
            finally:
                await model.aclose()


RIGS = [Rig(provider, streaming) for provider in DEFAULTS for streaming in (False, True)]


def a_question(*exchanges: tuple[str, str], **changes: Any) -> ModelRequest:
    """A question with the earlier answers and what was said of them."""
    told = tuple(Exchange(answer=answer, feedback=feedback) for answer, feedback in exchanges)
    fields: dict[str, Any] = {"system": "You answer.", "user": "Which word?", "answer_schema": SCHEMA}
    return ModelRequest(**{**fields, "exchanges": told, **changes})


def turns(received: Received) -> list[tuple[str, str]]:
    """Who said what in a request, without the system's part."""
    said = []
    for message in received.body["messages"]:
        content = message["content"]
        text = content if isinstance(content, str) else "".join(block["text"] for block in content)
        if message["role"] != "system":
            said.append((message["role"], text))
    return said


def system_of(received: Received) -> str:
    """The system's part of a request."""
    body = received.body
    if "system" in body:
        return "".join(block["text"] for block in body["system"])
    return str(body["messages"][0]["content"])
