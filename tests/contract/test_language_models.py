"""What every language model promises, on the fake and on each provider's adapter over real HTTP."""

import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import pytest
import structlog

from selfbuild.adapters.models.anthropic import AnthropicModel
from selfbuild.adapters.models.bedrock import AwsKeys, BedrockModel
from selfbuild.adapters.models.claude import ClaudeModel, ClaudeOptions
from selfbuild.adapters.models.faults import Wording
from selfbuild.adapters.models.openai import OpenAiModel
from selfbuild.adapters.models.prices import Price
from selfbuild.domain.errors import AccessDenied, Misconfigured
from selfbuild.domain.model_calls import ModelAnswer, StopReason, Usage
from tests.contract.model_rigs import DEFAULTS, KEY, REGION, RIGS, SCHEMA, Rig, a_question, system_of, turns
from tests.fakes.models import FakeModel
from tests.servers.llm import Answer, LlmServer

GOOD = Answer('{"word": "yes"}' + " " * 100)
SOON = datetime(2026, 11, 23, tzinfo=UTC)
CLAUDE_RIGS = [rig for rig in RIGS if rig.provider != "openai"]


def ids(rig: Rig) -> str:
    return rig.name


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Loading the machine's certificates takes longer than most of these tests, and plain HTTP needs none."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(params=RIGS, ids=ids)
def rig(request: pytest.FixtureRequest) -> Rig:
    chosen = request.param
    assert isinstance(chosen, Rig)
    return chosen


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, by us at any level and by the libraries at level INFO, where the service keeps them."""
    caplog.set_level(logging.INFO)
    with structlog.testing.capture_logs() as events:
        yield lambda: caplog.text + repr(events)


async def test_answer_comes_with_its_usage_and_who_gave_it(rig: Rig) -> None:
    async with rig.before(GOOD) as (model, server):
        answer = await model.ask(a_question(), timeout_s=10)

    assert (answer.provider, answer.model, answer.text) == (rig.provider, "model-test", GOOD.text)
    assert answer.stop_reason is StopReason.END
    assert answer.request_id
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 200)
    assert len(server.received) == 1


async def test_fake_answers_like_the_providers() -> None:
    refused = ModelAnswer(provider="fake", model="m", text="", stop_reason=StopReason.REFUSED, stop_detail="no")
    model = FakeModel("yes", refused, AccessDenied("wrong key"))

    first, second = [await model.ask(a_question(), timeout_s=1) for _ in range(2)]
    with pytest.raises(AccessDenied):
        await model.ask(a_question(), timeout_s=1)
    await model.aclose()

    assert (first.text, first.stop_reason, first.provider) == ("yes", StopReason.END, model.name)
    assert second == refused


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        pytest.param(Answer("half", stop="cut_off"), StopReason.CUT_OFF, "", id="cut off"),
        pytest.param(Answer("half", stop_reason="unheard_of"), StopReason.OTHER, "unheard_of", id="other"),
        pytest.param(Answer("I cannot help.", stop="refused"), StopReason.REFUSED, "I cannot help.", id="refused"),
        pytest.param(Answer(None, stop="refused", refusal="harm"), StopReason.REFUSED, "harm", id="explained"),
        pytest.param(Answer(None, stop="refused"), StopReason.REFUSED, "", id="refused without a word"),
        pytest.param(Answer(None), StopReason.END, "", id="empty"),
    ],
)
async def test_answer_says_why_it_ended(rig: Rig, reply: Answer, reason: StopReason, detail: str) -> None:
    async with rig.before(reply) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert answer.stop_reason is reason
    assert detail in answer.stop_detail
    assert answer.stop_detail
    assert answer.text == (reply.text or "")
    assert answer.usage.input_tokens == 1000, "what was not usable was paid for all the same"


@pytest.mark.parametrize("streaming", [False, True])
async def test_refusal_of_openai_in_its_own_field_is_a_refusal(streaming: bool) -> None:
    async with Rig("openai", streaming).before(Answer(None, refusal="not that")) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert (answer.stop_reason, answer.stop_detail) == (StopReason.REFUSED, "not that")


async def test_exchanges_are_alternating_turns_after_the_question(rig: Rig) -> None:
    question = a_question(("first answer", "too long"), ("  ", "that was empty"))
    async with rig.before(GOOD) as (model, server):
        await model.ask(question, timeout_s=10)

    assert system_of(server.received[0]) == "You answer."
    assert turns(server.received[0]) == [
        ("user", "Which word?"),
        ("assistant", "first answer"),
        ("user", "too long"),
        ("assistant", "(no text)"),
        ("user", "that was empty"),
    ]


@pytest.mark.parametrize("rig", CLAUDE_RIGS, ids=ids)
async def test_claude_is_told_what_to_cache(rig: Rig) -> None:
    async with rig.before(GOOD) as (model, server):
        await model.ask(a_question(("first", "no")), timeout_s=10)

    body = server.received[0].body
    cached = {"type": "ephemeral"}
    assert body["system"] == [{"type": "text", "text": "You answer.", "cache_control": cached}]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "Which word?", "cache_control": cached}]
    assert "cache_control" not in repr(body["messages"][1:]), "what changes with every repair is not worth keeping"


async def test_usage_has_the_list_price_of_all_tokens(rig: Rig) -> None:
    async with rig.before(Answer("{}", cache_read_tokens=500, cache_write_tokens=100)) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1600, 200)
    assert answer.usage.cost_usd == pytest.approx((1000 * 2 + 200 * 10 + 500 * 0.1 + 100 * 2.5) / 1e6)


@pytest.mark.parametrize(
    ("provider", "model_id"),
    [
        ("anthropic", "own-20260101"),
        ("bedrock", "eu.anthropic.own-20260101-v1:0"),
        ("bedrock", "arn:aws:bedrock:eu-north-1::foundation-model/anthropic.own"),
        ("openai", "own-2026-01-01"),
    ],
)
async def test_price_table_ignores_date_region_and_version_of_a_model(provider: str, model_id: str) -> None:
    prices = {"own": Price(input_usd=1000, output_usd=0, cache_read_usd=0, cache_write_usd=0)}
    async with Rig(provider).before(GOOD, prices=prices, options={"model": model_id}) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert answer.usage.cost_usd == pytest.approx(1.0)


@pytest.mark.parametrize("provider", DEFAULTS)
async def test_unknown_model_keeps_its_usage_at_cost_zero_and_says_so_once(
    provider: str, logged: Callable[[], str]
) -> None:
    async with Rig(provider).before(GOOD, options={"model": "unheard-of"}) as (model, _):
        answers = [await model.ask(a_question(), timeout_s=10) for _ in range(2)]

    assert [each.usage for each in answers] == [Usage(input_tokens=1000, output_tokens=200, cost_usd=0.0)] * 2
    assert logged().count("price.missed") == 1


async def test_question_names_model_and_length_where_it_wants_others(rig: Rig) -> None:
    other = DEFAULTS[rig.provider] + "-other"
    async with rig.before(GOOD) as (model, server):
        await model.ask(a_question(), timeout_s=10)
        await model.ask(a_question(model=other, max_tokens=77), timeout_s=10)

    asked = [each.body.get("model") or each.path.split("/")[2] for each in server.received]
    assert asked == [DEFAULTS[rig.provider], other]
    limits = [each.body.get("max_tokens") or each.body["max_completion_tokens"] for each in server.received]
    assert limits == [4000, 77]


@pytest.mark.parametrize("rig", CLAUDE_RIGS, ids=ids)
async def test_claude_is_asked_for_structured_output_and_no_sampling(rig: Rig) -> None:
    async with rig.before(GOOD, options={"temperature": 0.1}) as (model, server):
        await model.ask(a_question(), timeout_s=10)

    body = server.received[0].body
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}


@pytest.mark.parametrize(
    ("provider", "model_id"),
    [("anthropic", "claude-haiku-4-5"), ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0")],
)
async def test_model_without_effort_is_not_sent_one(provider: str, model_id: str) -> None:
    async with Rig(provider).before(GOOD, options={"model": model_id}) as (model, server):
        await model.ask(a_question(), timeout_s=10)

    assert "effort" not in server.received[0].body["output_config"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("model_id", "temperature", "sent"),
    [
        pytest.param(
            "gpt-6.2-sol", 0.1, {"max_completion_tokens": 4000, "reasoning_effort": "low"}, id="a model that thinks"
        ),
        pytest.param("qwen2.5-coder", 0.1, {"max_tokens": 4000, "temperature": 0.1}, id="a local model"),
        pytest.param("qwen2.5-coder", 1.0, {"max_tokens": 4000}, id="the server's own temperature"),
        pytest.param("gpt-5-chat-latest", 0.1, {"max_tokens": 4000, "temperature": 0.1}, id="a model for chats"),
    ],
)
async def test_openai_is_sent_what_the_model_takes(
    model_id: str, temperature: float, sent: dict[str, Any], *, streaming: bool
) -> None:
    options = {"model": model_id, "temperature": temperature}
    async with Rig("openai", streaming).before(GOOD, options=options) as (model, server):
        await model.ask(a_question(), timeout_s=10)

    body = server.received[0].body
    form = {"name": "answer", "strict": True, "schema": SCHEMA}
    assert body.pop("response_format") == {"type": "json_schema", "json_schema": form}
    rest = {
        name: value for name, value in body.items() if name not in ("model", "messages", "stream", "stream_options")
    }
    assert rest == sent


@pytest.mark.parametrize(("temperature", "times"), [(0.1, 1), (None, 0)])
@pytest.mark.parametrize("provider", DEFAULTS)
async def test_temperature_that_is_not_sent_is_told_once_if_it_was_chosen(
    provider: str, temperature: float | None, times: int, logged: Callable[[], str]
) -> None:
    async with Rig(provider).before(GOOD, options={"temperature": temperature}) as (model, server):
        for _ in range(2):
            await model.ask(a_question(), timeout_s=10)

    assert logged().count("temperature.ignored") == times
    assert all("temperature" not in each.body for each in server.received)


async def test_question_and_answer_are_not_logged(rig: Rig, logged: Callable[[], str]) -> None:
    async with rig.before(GOOD) as (model, _):
        await model.ask(a_question(), timeout_s=10)

    assert "question_digest" in logged()
    assert not [text for text in ("Which word", "You answer", "yes") if text in logged()]


@pytest.mark.parametrize("key", [None, "", "  ", "sk-ant bad", "sk-ant\nbad", "sk-änt"])
@pytest.mark.parametrize("make", [AnthropicModel, OpenAiModel])
def test_unusable_key_is_refused_at_construction_without_showing_it(make: Callable[..., object], key: str) -> None:
    with pytest.raises(Misconfigured, match="API key") as caught:
        make(api_key=key)

    assert not key or not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("token", ["", "sk bad", "sk-änt"])
def test_unusable_bearer_token_is_refused_at_construction(token: str) -> None:
    with pytest.raises(Misconfigured, match="AWS_BEARER_TOKEN_BEDROCK"):
        BedrockModel(region=REGION, bearer_token=token)


async def test_bedrock_takes_a_bearer_token() -> None:
    async with Rig("bedrock").before(GOOD, bearer_token=KEY) as (model, server):
        await model.ask(a_question(), timeout_s=10)

    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.received[0].path == "/model/us.anthropic.claude-sonnet-5-5/invoke"


async def test_bedrock_signs_with_session_token_and_region() -> None:
    keys = AwsKeys(access_key="AKIDTEST", secret_key=KEY, session_token="of-the-session")
    with LlmServer(GOOD, key=KEY) as server:
        model = BedrockModel(region=REGION, keys=keys, base_url=server.url)
        await model.ask(a_question(), timeout_s=10)
        await model.aclose()

    headers = server.received[0].headers
    assert f"/{REGION}/bedrock/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "of-the-session"
    assert KEY not in repr(keys)


async def test_bedrock_without_credentials_is_misconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with LlmServer(GOOD) as server:
        # A region of its own, because the SDK keeps one session for each.
        model = BedrockModel(region="ca-west-1", base_url=server.url)
        with pytest.raises(Misconfigured, match="credentials"):
            await model.ask(a_question(), timeout_s=10)
        await model.aclose()

    assert server.received == []


async def test_openai_server_on_this_machine_needs_no_key() -> None:
    async with Rig("openai").before(GOOD, server_key=None, key=None, key_required=False) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert answer.stop_reason is StopReason.END


@pytest.mark.parametrize("key", ["EMPTY", None])
async def test_word_that_stands_in_for_a_key_stays_in_answers(key: str | None) -> None:
    text = "EMPTY = 'no-key-needed'"
    async with Rig("openai").before(Answer(text), server_key=None, key=key, key_required=False) as (model, _):
        answer = await model.ask(a_question(), timeout_s=10)

    assert answer.text == text


@pytest.mark.parametrize(
    ("provider", "model_id"),
    [
        ("anthropic", "claude-3-5-haiku-20241022"),
        ("anthropic", "claude-mythos-preview"),
        ("bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-20250514-v1:0"),
        ("bedrock", "anthropic.claude-3-opus-20240229-v1:0:200k"),
    ],
)
async def test_model_past_its_end_is_refused_at_construction_with_the_date(provider: str, model_id: str) -> None:
    with pytest.raises(Misconfigured, match=r"ended on 2026-\d\d-\d\d: set \w+_MODEL or LLM_MODEL"):
        Rig(provider).make("http://127.0.0.1:1", options={"model": model_id}, now=lambda: SOON)


async def test_question_for_a_model_past_its_end_is_not_sent() -> None:
    async with Rig("anthropic").before(GOOD, now=lambda: SOON) as (model, server):
        with pytest.raises(Misconfigured, match="ended on"):
            await model.ask(a_question(model="claude-opus-4-0"), timeout_s=10)

    assert server.received == []


@pytest.mark.parametrize(("day", "served"), [(29, True), (30, False)])
@pytest.mark.parametrize(
    ("provider", "model_id"),
    [("anthropic", "claude-sonnet-4-5"), ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")],
)
async def test_model_is_refused_from_its_last_day_on(provider: str, model_id: str, day: int, *, served: bool) -> None:
    def make() -> ClaudeModel | OpenAiModel:
        now = datetime(2026, 11, day, tzinfo=UTC)
        return Rig(provider).make("http://127.0.0.1:1", options={"model": model_id}, now=lambda: now)

    if served:
        await make().aclose()
        return
    with pytest.raises(Misconfigured, match="2026-11-30"):
        make()


@pytest.mark.parametrize("provider", DEFAULTS)
def test_unusable_address_is_refused_at_construction(provider: str) -> None:
    with pytest.raises(Misconfigured, match="client"):
        Rig(provider).make("http://[::1")


async def test_client_that_would_ask_again_by_itself_is_refused() -> None:
    client = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://127.0.0.1:1", max_retries=5)
    options = ClaudeOptions(model="claude-sonnet-5-5")

    with pytest.raises(Misconfigured, match="must not retry"):
        ClaudeModel(client, options, name="mine", wording=Wording("mine"), setting="X", instead="y")

    await client.close()


async def test_client_without_credentials_is_misconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ClaudeOptions(model="claude-sonnet-5-5")
    with LlmServer(GOOD) as server:
        client = anthropic.AsyncAnthropic(base_url=server.url, max_retries=0)
        model = ClaudeModel(client, options, name="mine", wording=Wording("mine"), setting="X", instead="y")
        with pytest.raises(Misconfigured, match="credentials"):
            await model.ask(a_question(), timeout_s=10)
        await model.aclose()

    assert server.received == []
