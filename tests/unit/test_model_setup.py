"""The models a worker builds are those its settings ask for, and nothing else is loaded."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog

from selfbuild.domain.errors import Misconfigured
from selfbuild.model_setup import language_models, patch_generators
from selfbuild.ports import LanguageModel
from selfbuild.settings import PREFIXES, Settings
from tests.contract.model_rigs import KEY, a_question
from tests.servers.llm import Answer, LlmServer

Build = Callable[..., dict[str, LanguageModel]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests gets in."""
    for field in Settings.model_fields:
        for prefix in PREFIXES:
            monkeypatch.delenv(prefix + field.upper(), raising=False)


def some_settings(url: str, **changes: Any) -> Settings:
    """All three providers, before one server."""
    fields: dict[str, Any] = {
        "llm_provider": "openai,anthropic,bedrock,recipes",
        "anthropic_api_key": KEY,
        "anthropic_base_url": url,
        "openai_api_key": KEY,
        "openai_base_url": f"{url}/v1",
        "bedrock_endpoint_url": url,
        "aws_bearer_token_bedrock": KEY,
        **changes,
    }
    return Settings(_env_file=None, **fields)


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    """Builds the models, and closes them after the test."""
    opened = AsyncExitStack()

    def built(settings: Settings) -> dict[str, LanguageModel]:
        models = language_models(settings)
        for model in models.values():
            opened.push_async_callback(model.aclose)
        return models

    async with opened:
        yield built


async def test_models_are_those_of_the_settings_in_their_order(build: Build) -> None:
    chosen = {"llm_model": "gpt-6-sol", "bedrock_model": "eu.anthropic.claude-opus-5-5", "llm_max_tokens": 99}
    with LlmServer(Answer("{}"), key=KEY) as server:
        models = build(some_settings(server.url, **chosen))
        for model in models.values():
            await model.ask(a_question(), timeout_s=10)

    assert list(models) == [model.name for model in models.values()] == ["openai", "anthropic", "bedrock"]
    openai, anthropic, bedrock = server.received
    assert (openai.path, openai.body["model"]) == ("/v1/chat/completions", "gpt-6-sol")
    assert (anthropic.path, anthropic.body["model"]) == ("/v1/messages", "claude-sonnet-5-5")
    assert bedrock.path == "/model/eu.anthropic.claude-opus-5-5/invoke"
    assert [each.body.get("max_tokens", 99) for each in server.received] == [99, 99, 99]


async def test_effort_and_streaming_reach_every_model(build: Build) -> None:
    with LlmServer(Answer("{}"), key=KEY) as server:
        for model in build(some_settings(server.url, llm_effort="high", llm_streaming=True)).values():
            await model.ask(a_question(), timeout_s=10)

    openai, anthropic, bedrock = server.received
    assert (openai.body["reasoning_effort"], openai.body["stream"]) == ("high", True)
    assert (anthropic.body["output_config"]["effort"], anthropic.body["stream"]) == ("high", True)
    assert bedrock.body["output_config"]["effort"] == "high"
    assert bedrock.path.endswith("/invoke-with-response-stream")


async def test_default_effort_is_left_to_the_models(build: Build) -> None:
    with LlmServer(Answer("{}"), key=KEY) as server:
        for model in build(some_settings(server.url, llm_effort="default")).values():
            await model.ask(a_question(), timeout_s=10)

    assert not [each for each in server.received if "effort" in each.content.decode()]


@pytest.mark.parametrize(
    ("changes", "ignored"),
    [
        pytest.param({}, [], id="nobody chose one"),
        pytest.param({"llm_temperature": 0.05}, ["openai", "anthropic", "bedrock"], id="chosen"),
        pytest.param(
            {"llm_temperature": 0.05, "openai_model": "qwen2.5-coder"},
            ["anthropic", "bedrock"],
            id="one model takes it",
        ),
    ],
)
def test_temperature_that_was_chosen_but_cannot_be_sent_is_told(changes: dict[str, Any], ignored: list[str]) -> None:
    with structlog.testing.capture_logs() as events:
        language_models(some_settings("http://127.0.0.1:1", **changes))

    assert [each["provider"] for each in events if each["event"] == "temperature.ignored"] == ignored


async def test_local_server_is_sent_the_temperature_without_a_key(build: Build) -> None:
    with LlmServer(Answer("{}")) as server:
        settings = some_settings(server.url, llm_provider="openai", openai_api_key=None, llm_model="qwen2.5-coder")
        await build(settings)["openai"].ask(a_question(), timeout_s=10)

    assert server.received[0].body["temperature"] == 0.1


def test_model_past_its_end_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match="ended on 2026-06-15: set ANTHROPIC_MODEL or LLM_MODEL"):
        language_models(some_settings("http://127.0.0.1:1", anthropic_model="claude-opus-4-0"))


def test_recipes_can_always_be_asked() -> None:
    assert list(patch_generators(Settings(_env_file=None), {})) == ["recipes"]


@pytest.mark.parametrize(
    ("provider", "loaded"), [("recipes", "[]"), ("openai", "['openai']"), ("anthropic", "['anthropic']")]
)
def test_only_the_sdk_of_a_chosen_provider_is_loaded(provider: str, loaded: str) -> None:
    program = f"""
import sys
from selfbuild.model_setup import language_models, patch_generators
from selfbuild.settings import Settings
settings = Settings(_env_file=None, llm_provider={provider!r}, openai_api_key="k", anthropic_api_key="k")
patch_generators(settings, language_models(settings))
print(sorted({{"anthropic", "openai"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == loaded
