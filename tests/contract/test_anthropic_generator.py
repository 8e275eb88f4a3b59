"""What the Claude generator sends, and what it makes of each way a provider can answer or fail."""

import asyncio
import logging
import os
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anthropic
import pytest
import structlog

from selfbuild.adapters.anthropic_generator import AnthropicGenerator, Price
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
from tests.fakes.generator import OWNER_PATCH, a_patch_request
from tests.servers.llm import Answer, FailInStream, Failure, LlmServer, Raw, Reply, Reset, Stall

KEY = "a-key-of-no-known-form-0123456789"
GOOD = Answer(OWNER_PATCH.model_dump_json())
SOON = datetime(2026, 11, 23, tzinfo=UTC)


@asynccontextmanager
async def a_claude(reply: Reply, *, streaming: bool = False) -> AsyncIterator[tuple[AnthropicGenerator, LlmServer]]:
    with LlmServer(reply) as server:
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, streaming=streaming)
        try:
            yield generator, server
        finally:
            await generator.aclose()


@pytest.fixture(params=[False, True], ids=["json", "sse"])
def streaming(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, by us at any level and by the libraries at level INFO, where the service keeps them."""
    caplog.set_level(logging.INFO)
    with structlog.testing.capture_logs() as events:
        yield lambda: caplog.text + repr(events)


FAULTS = [
    pytest.param(Failure(429, "rate_limit_error"), Throttled, id="429"),
    pytest.param(Failure(429, "rate_limit_error", error_code="ramp_limit_exceeded"), Throttled, id="ramp limit"),
    pytest.param(Failure(529, "overloaded_error"), ProviderOverloaded, id="529"),
    pytest.param(Failure(529, None), ProviderOverloaded, id="529 without type"),
    pytest.param(Failure(500, "api_error"), Unreachable, id="500"),
    pytest.param(Failure(503, None), Unreachable, id="503 without type"),
    pytest.param(Failure(504, "timeout_error"), Unreachable, id="504"),
    pytest.param(Failure(408, None), Unreachable, id="408"),
    pytest.param(Failure(409, "conflict_error"), Unreachable, id="409"),
    pytest.param(Raw(b"<html>Bad gateway</html>", "text/html", 502), Unreachable, id="502 HTML"),
    pytest.param(
        Failure(429, "rate_limit_error", error_code="enforced_spend_limit_reached", headers={"retry-after": "5"}),
        QuotaExhausted,
        id="tier's spend limit",
    ),
    pytest.param(
        Failure(429, "rate_limit_error", error_code="contract_spend_limit_reached"), QuotaExhausted, id="spend limit"
    ),
    pytest.param(Failure(402, "billing_error"), QuotaExhausted, id="402"),
    pytest.param(Failure(401, "authentication_error"), AccessDenied, id="401"),
    pytest.param(Failure(403, "permission_error"), AccessDenied, id="403"),
    pytest.param(Failure(400, "invalid_request_error"), InvalidRequest, id="400"),
    pytest.param(Failure(404, "not_found_error"), InvalidRequest, id="404"),
    pytest.param(Failure(413, "request_too_large"), InvalidRequest, id="413"),
    pytest.param(Failure(422, None), InvalidRequest, id="422"),
    pytest.param(Raw(b"<html>Sign in</html>", "text/html"), MalformedAnswer, id="200 HTML"),
    pytest.param(Raw(b"{}"), MalformedAnswer, id="200 empty object"),
    pytest.param(Raw(b""), MalformedAnswer, id="200 without body"),
    pytest.param(Raw(b'"hello"'), MalformedAnswer, id="200 JSON text"),
    pytest.param(Answer('{"summary": "s", "edits": [{"pa', stop_reason="max_tokens"), MalformedAnswer, id="cut off"),
    pytest.param(
        Answer(OWNER_PATCH.model_dump_json(), stop_reason="model_context_window_exceeded"),
        MalformedAnswer,
        id="too long",
    ),
    pytest.param(Reset(), Unreachable, id="reset"),
    pytest.param(Reset(midway=True), Unreachable, id="reset midway"),
]


@pytest.mark.parametrize(("reply", "kind"), FAULTS)
async def test_fault_of_the_provider_is_the_error_that_says_what_to_do(
    reply: Reply, kind: type[SelfBuildError], *, streaming: bool
) -> None:
    async with a_claude(reply, streaming=streaming) as (generator, server):
        with pytest.raises(kind) as caught:
            await generator.propose(a_patch_request(), timeout_s=10)

    assert caught.type is kind
    assert len(server.received) == 1, "retries belong to the workflow"
    assert "anthropic" in str(caught.value)


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [("overloaded_error", ProviderOverloaded), ("api_error", Unreachable), ("rate_limit_error", Throttled)],
)
async def test_error_in_mid_stream_is_told_by_its_type(error_type: str, kind: type[SelfBuildError]) -> None:
    async with a_claude(FailInStream(error_type), streaming=True) as (generator, _):
        with pytest.raises(kind, match="200"):
            await generator.propose(a_patch_request(), timeout_s=10)


async def test_stalled_answer_ends_at_the_limit(*, streaming: bool) -> None:
    async with a_claude(Stall(), streaming=streaming) as (generator, server):
        with pytest.raises(Unreachable):
            await generator.propose(a_patch_request(), timeout_s=0.3)

    assert len(server.received) == 1


async def test_trickling_answer_ends_at_the_total_limit(*, streaming: bool) -> None:
    started_s = time.monotonic()
    async with a_claude(Stall(trickling=True), streaming=streaming) as (generator, _):
        with pytest.raises(Unreachable, match=r"within 0\.3 s"):
            await generator.propose(a_patch_request(), timeout_s=0.3)

    assert time.monotonic() - started_s < 5


async def test_cancelled_request_ends_as_cancelled() -> None:
    async with a_claude(Stall()) as (generator, server):
        task = asyncio.create_task(generator.propose(a_patch_request(), timeout_s=60))
        assert await asyncio.to_thread(server.asked.wait, 10)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_refused_connection_is_unreachable() -> None:
    with LlmServer(GOOD) as server:
        url = server.url
    generator = AnthropicGenerator(api_key=KEY, base_url=url)

    with pytest.raises(Unreachable):
        await generator.propose(a_patch_request(), timeout_s=10)

    await generator.aclose()


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, id="milliseconds"),
        pytest.param({"retry-after": "4294967"}, 600.0, id="weeks are cut"),
        pytest.param({"retry-after": "Mon, 23 Nov 2026 00:00:30 GMT"}, 30.0, id="date"),
        pytest.param({"retry-after": "Sun, 22 Nov 2026 00:00:00 GMT"}, 0.0, id="past date"),
        pytest.param({"retry-after": "nan"}, None, id="not a number"),
        pytest.param({"retry-after": "later"}, None, id="words"),
        pytest.param({}, None, id="none"),
    ],
)
async def test_throttling_says_when_to_come_back(headers: dict[str, str], expected_s: float | None) -> None:
    with LlmServer(Failure(429, "rate_limit_error", headers=headers)) as server:
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, now=lambda: SOON)
        with pytest.raises(TransientError) as caught:
            await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert caught.value.retry_after_s == expected_s


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Answer("I cannot help.", stop_reason="refusal"), "I cannot help.", id="text"),
        pytest.param(Answer(None, stop_reason="refusal", refusal="cyber harm"), "cyber harm", id="explanation"),
        pytest.param(Answer(None, stop_reason="refusal"), "no reason given", id="without a reason"),
        pytest.param(Answer("Sure! Here is the patch:"), "answer format: ", id="prose"),
        pytest.param(Answer('{"summary": "s", "edits": [], "extra": 1}'), "declined by the model: s", id="declined"),
        pytest.param(Answer('{"summary": "s", "edits": [{"path": "a"}]}'), "answer format: ", id="incomplete edit"),
        pytest.param(Answer(None), "answer format: ", id="no content"),
    ],
)
async def test_answer_without_a_patch_is_a_refusal_with_its_usage(
    reply: Answer, reason: str, *, streaming: bool
) -> None:
    async with a_claude(reply, streaming=streaming) as (generator, _):
        proposal = await generator.propose(a_patch_request(), timeout_s=10)

    assert proposal.patch is None
    assert reason in (proposal.refusal or "")
    assert proposal.stop_reason == reply.stop_reason
    assert proposal.usage.input_tokens == 1000


async def test_request_asks_for_structured_output_and_sets_no_sampling(*, streaming: bool) -> None:
    async with a_claude(GOOD, streaming=streaming) as (generator, server):
        await generator.propose(a_patch_request(), timeout_s=10)

    received = server.received[0]
    assert received.path == "/v1/messages"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert not {"temperature", "top_p", "top_k"} & received.body.keys()
    assert received.body["model"] == "claude-sonnet-5-5"
    assert received.body["max_tokens"] == 4000
    assert received.body["output_config"]["effort"] == "low"
    assert received.body["output_config"]["format"]["schema"]["required"] == ["summary", "edits"]
    assert 'item["owner"]' in received.body["messages"][0]["content"]


async def test_model_without_effort_is_not_sent_one() -> None:
    with LlmServer(GOOD) as server:
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, model="claude-haiku-4-5")
        await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert "effort" not in server.received[0].body["output_config"]


async def test_usage_has_the_list_price_of_all_tokens(*, streaming: bool) -> None:
    reply = Answer(OWNER_PATCH.model_dump_json(), cache_read_tokens=500, cache_write_tokens=100)
    async with a_claude(reply, streaming=streaming) as (generator, _):
        proposal = await generator.propose(a_patch_request(), timeout_s=10)

    assert proposal.usage.input_tokens == 1600
    assert proposal.usage.output_tokens == 200
    assert proposal.usage.cost_usd == pytest.approx((1000 * 2 + 200 * 10 + 500 * 0.1 + 100 * 2.5) / 1e6)
    assert proposal.request_id == "req_test"
    assert proposal.model == "claude-test"


async def test_price_table_is_a_parameter_and_ignores_the_date_of_a_model() -> None:
    prices = {"claude-own": Price(input_usd=1000, output_usd=0, cache_read_usd=0, cache_write_usd=0)}
    with LlmServer(GOOD) as server:
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, model="claude-own-20260101", prices=prices)
        proposal = await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert proposal.usage.cost_usd == pytest.approx(1.0)


async def test_unknown_model_keeps_its_usage_at_cost_zero_and_says_so(logged: Callable[[], str]) -> None:
    with LlmServer(GOOD) as server:
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, model="claude-unheard-of")
        proposal = await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert (proposal.usage.input_tokens, proposal.usage.cost_usd) == (1000, 0.0)
    assert "price.missed" in logged()


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        Failure(401, "authentication_error", message=f"invalid key {KEY}"),
        Failure(500, None, message=f"proxy saw Bearer {KEY}"),
        Raw(f"<html>{KEY}</html>".encode(), "text/html", 502),
        Raw(f"<html>{KEY}</html>".encode(), "text/html"),
        Answer(f"not json {KEY}"),
        Answer(f"I refuse {KEY}", stop_reason="refusal"),
        Answer(f'{{"summary": "{KEY}", "edits": []}}'),
        Reset(),
    ],
    ids=["good", "401", "500", "502", "200", "prose", "refusal", "declined", "reset"],
)
async def test_key_is_never_in_logs_errors_or_proposals(
    reply: Reply, logged: Callable[[], str], *, streaming: bool
) -> None:
    shown = ""
    async with a_claude(reply, streaming=streaming) as (generator, server):
        try:
            shown = repr(await generator.propose(a_patch_request(), timeout_s=10))
        except SelfBuildError as error:
            shown = "".join(traceback.format_exception(error))

    assert KEY in server.received[0].headers["authorization"]
    assert shown
    assert KEY not in shown + logged()
    assert KEY not in repr(generator)


async def test_prompt_is_logged_by_digest_only(logged: Callable[[], str]) -> None:
    async with a_claude(GOOD) as (generator, _):
        await generator.propose(a_patch_request(), timeout_s=10)

    assert "prompt_digest" in logged()
    assert 'item["owner"]' not in logged()
    assert "KeyError" not in logged()


@pytest.mark.parametrize("key", [None, "", "  ", "sk-ant bad", "sk-ant\nbad", "sk-änt"])
def test_unusable_key_is_refused_at_construction_without_showing_it(key: str | None) -> None:
    with pytest.raises(Misconfigured, match="API key") as caught:
        AnthropicGenerator(api_key=key)

    assert not key or not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("model", ["claude-3-5-haiku-20241022", "claude-mythos-preview"])
def test_model_past_its_end_is_refused_at_construction_with_the_date(model: str) -> None:
    with pytest.raises(Misconfigured, match=r"ended on 2026-\d\d-\d\d.*LLM_MODEL"):
        AnthropicGenerator(api_key=KEY, model=model, now=lambda: SOON)


@pytest.mark.parametrize(("day", "served"), [(29, True), (30, False)])
async def test_model_is_refused_from_its_last_day_on(day: int, served: bool) -> None:
    def make() -> AnthropicGenerator:
        return AnthropicGenerator(
            api_key=KEY, model="claude-sonnet-4-5", now=lambda: datetime(2026, 11, day, tzinfo=UTC)
        )

    if served:
        await make().aclose()
        return
    with pytest.raises(Misconfigured, match="2026-11-30"):
        make()


def test_unusable_address_is_refused_at_construction() -> None:
    with pytest.raises(Misconfigured, match="base URL"):
        AnthropicGenerator(api_key=KEY, base_url="http://[::1")


async def test_client_made_elsewhere_is_used_without_its_retries() -> None:
    with LlmServer(Failure(500, "api_error")) as server:
        generator = AnthropicGenerator(
            client_factory=lambda: anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=5)
        )
        with pytest.raises(Unreachable):
            await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert len(server.received) == 1


async def test_client_made_elsewhere_without_credentials_is_misconfigured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with LlmServer(GOOD) as server:
        generator = AnthropicGenerator(client_factory=lambda: anthropic.AsyncAnthropic(base_url=server.url))
        with pytest.raises(Misconfigured, match="credentials"):
            await generator.propose(a_patch_request(), timeout_s=10)
        await generator.aclose()

    assert server.received == []
