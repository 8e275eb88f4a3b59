"""A whole cycle with each provider, and one that fails over across all of them, on the real Temporal server.

The models are local servers that speak the providers' protocols over real HTTP.
"""

import json
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.conftest import Run, StackFactory
from tests.e2e.test_durability import kept_once
from tests.servers.llm import Answer, Failure, LlmServer, Raw, Reply

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
KEY = "sk-test-0123456789abcdef0123456789"
PATCH = {
    "summary": "An action without an owner raised KeyError; it now belongs to nobody.",
    "edits": [
        {"path": "meetnotes/actions.py", "search": 'item["owner"]', "replace": 'item.get("owner", "unassigned")'}
    ],
}
GOOD = Answer(json.dumps(PATCH))


def pointing_at(provider: str, server: LlmServer) -> dict[str, str]:
    """The settings that bring a provider's requests to a local server."""
    return {
        "anthropic": {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url},
        "bedrock": {"AWS_BEARER_TOKEN_BEDROCK": KEY, "BEDROCK_ENDPOINT_URL": server.url},
        "openai": {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{server.url}/v1"},
    }[provider]


def cycle_with(run_stack: StackFactory, replies: dict[str, Reply], providers: str) -> tuple[dict[str, Any], Run, Any]:
    """One cycle on a stack of its own, with the servers that were asked."""
    settings = {
        "SELFBUILD_LLM_PROVIDER": providers,
        "SELFBUILD_IMPROVEMENT_RISK_TOLERANCE": "0.3",
        "SELFBUILD_CIRCUIT_BREAKER_FAILURE_THRESHOLD": "2",
        "SELFBUILD_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "1",
    }
    with ExitStack() as stack:
        servers = {name: stack.enter_context(LlmServer(reply, key=KEY)) for name, reply in replies.items()}
        for name, server in servers.items():
            settings |= pointing_at(name, server)
        run = stack.enter_context(run_stack(settings=settings))
        cycle = run.ended(run.start_cycle())
        kept_once(run, cycle)
        status = run.client.get("/v1/status").json()
        secrets = [path for path in run.stack.plan.state.rglob("*") if path.is_file() and KEY in _text(path)]
        assert secrets == [], "a provider's key was written down"
        return cycle, run, (servers, status)


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "openai"])
def test_a_cycle_with_each_provider_keeps_its_patch(run_stack: StackFactory, provider: str) -> None:
    cycle, _, (servers, status) = cycle_with(run_stack, {provider: GOOD}, provider)

    assert len(servers[provider].received) == 1
    assert cycle["cost"]["llm_input_tokens"] == 1000
    generator = status["components"]["llm_code_generator"]
    assert generator["tokens_today"] == 1200
    assert generator["providers"] == [provider]


def test_recipes_need_no_model(run_stack: StackFactory) -> None:
    cycle, _, (_, status) = cycle_with(run_stack, {}, "recipes")

    assert cycle["cost"]["llm_input_tokens"] == 0
    assert status["components"]["llm_code_generator"]["tokens_today"] == 0


def test_failover_goes_across_all_providers_to_the_recipes(run_stack: StackFactory) -> None:
    spent = Failure(429, "rate_limit_error", error_code="enforced_spend_limit_reached")
    replies: dict[str, Reply] = {"anthropic": spent, "bedrock": Failure(503), "openai": Raw(b"<html>", "text/html")}

    cycle, _, (servers, _) = cycle_with(run_stack, replies, "anthropic,bedrock,openai,recipes")

    asked = [attempt.split(":")[:2] for attempt in cycle["improvements"][0]["attempts"]]
    assert asked == [
        ["anthropic", " QuotaExhausted"],
        ["bedrock", " Unreachable"],
        ["openai", " MalformedAnswer"],
        ["recipes", " patch by missing_key"],
    ]
    assert {name: len(server.received) for name, server in servers.items()} == {
        "anthropic": 1,
        "bedrock": 2,
        "openai": 1,
    }


def _text(path: Any) -> str:
    return str(path.read_bytes().decode("latin-1"))
