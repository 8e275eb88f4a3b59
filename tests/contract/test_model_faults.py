"""What each language model makes of each way its provider can fail: the error says what to do next."""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import structlog

from selfbuild.adapters.models.faults import retry_after_s
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    ProviderOverloaded,
    QuotaExhausted,
    SelfBuildError,
    Throttled,
    TransientError,
    Unreachable,
)
from tests.contract.model_rigs import KEY, RIGS, Rig, a_question
from tests.servers.llm import Answer, Close, FailInStream, Failure, LlmServer, Raw, Reply, Reset, Stall

GOOD = Answer('{"word": "yes"}')
SOON = datetime(2026, 11, 23, tzinfo=UTC)
Case = tuple[Reply, type[SelfBuildError]]
ANTHROPIC: list[Case] = [
    (Failure(429, "rate_limit_error"), Throttled),
    (Failure(429, "rate_limit_error", error_code="ramp_limit_exceeded"), Throttled),
    (Failure(529, "overloaded_error"), ProviderOverloaded),
    (Failure(500, "api_error"), Unreachable),
    (Failure(504, "timeout_error"), Unreachable),
    (Failure(409, "conflict_error"), Unreachable),
    (
        Failure(429, "rate_limit_error", error_code="enforced_spend_limit_reached", headers={"retry-after": "5"}),
        QuotaExhausted,
    ),
    (Failure(429, "rate_limit_error", error_code="contract_spend_limit_reached"), QuotaExhausted),
    (Failure(402, "billing_error"), QuotaExhausted),
    (Failure(401, "authentication_error"), AccessDenied),
    (Failure(403, "permission_error"), AccessDenied),
    (Failure(400, "invalid_request_error"), InvalidRequest),
    (Failure(404, "not_found_error"), InvalidRequest),
    (Failure(413, "request_too_large"), InvalidRequest),
]
BEDROCK: list[Case] = [
    (Failure(429, "ThrottlingException"), Throttled),
    (Failure(429, "ModelNotReadyException"), ProviderOverloaded),
    (Failure(503, "ServiceUnavailableException"), ProviderOverloaded),
    (Failure(500, "InternalServerException"), Unreachable),
    (Failure(408, "ModelTimeoutException"), Unreachable),
    (Failure(424, "ModelErrorException"), Unreachable),
    (Failure(400, "ServiceQuotaExceededException"), QuotaExhausted),
    (Failure(403, "AccessDeniedException"), AccessDenied),
    (Failure(403, "ExpiredTokenException"), AccessDenied),
    (Failure(400, "ValidationException"), InvalidRequest),
    (Failure(404, "ResourceNotFoundException"), InvalidRequest),
]
OPENAI: list[Case] = [
    (Failure(429, "requests", error_code="rate_limit_exceeded"), Throttled),
    (Failure(429, "tokens", error_code="rate_limit_exceeded"), Throttled),
    (Failure(429, "insufficient_quota", error_code="insufficient_quota"), QuotaExhausted),
    (Failure(400, "invalid_request_error", error_code="billing_hard_limit_reached"), QuotaExhausted),
    (Failure(503, "server_error", error_code="slow_down"), ProviderOverloaded),
    (Failure(503, "service_unavailable_error", error_code="server_is_overloaded"), ProviderOverloaded),
    (Failure(500, "server_error"), Unreachable),
    (Failure(401, "invalid_request_error", error_code="invalid_api_key"), AccessDenied),
    (Failure(401, "invalid_request_error"), AccessDenied),
    (Failure(403, "permission_error"), AccessDenied),
    (Failure(400, "invalid_request_error", error_code="context_length_exceeded"), InvalidRequest),
    (Failure(404, "invalid_request_error", error_code="model_not_found"), InvalidRequest),
]
ANYWHERE: list[Case] = [
    (Failure(401), AccessDenied),
    (Failure(402), QuotaExhausted),
    (Failure(403), AccessDenied),
    (Failure(408), Unreachable),
    (Failure(413), InvalidRequest),
    (Failure(422), InvalidRequest),
    (Failure(429), Throttled),
    (Failure(503), Unreachable),
    (Failure(529), ProviderOverloaded),
    (Raw(b"<html>Bad gateway</html>", "text/html", 502), Unreachable),
    (Raw(b"<html>Sign in</html>", "text/html"), MalformedAnswer),
    (Raw(b"{}"), MalformedAnswer),
    (Raw(b""), MalformedAnswer),
    (Raw(b'"hello"'), MalformedAnswer),
    (Raw(b"\xff\xfe"), MalformedAnswer),
    (Reset(), Unreachable),
    (Reset(midway=True), Unreachable),
    (Close(), Unreachable),
]
OWN = {"anthropic": ANTHROPIC, "bedrock": BEDROCK, "openai": OPENAI}
IN_STREAM: dict[str, list[tuple[str, type[SelfBuildError]]]] = {
    "anthropic": [
        ("overloaded_error", ProviderOverloaded),
        ("api_error", Unreachable),
        ("rate_limit_error", Throttled),
        ("unheard_of", Unreachable),
    ],
    "bedrock": [
        ("throttlingException", Throttled),
        ("modelStreamErrorException", Unreachable),
        ("serviceUnavailableException", ProviderOverloaded),
        ("validationException", InvalidRequest),
    ],
    "openai": [
        ("server_is_overloaded", ProviderOverloaded),
        ("server_error", Unreachable),
        ("requests", Throttled),
        ("unheard_of", Unreachable),
    ],
}


def _named(reply: Reply) -> str:
    if isinstance(reply, Failure):
        return " ".join(str(each) for each in (reply.status, reply.error_type, reply.error_code) if each)
    return repr(reply)


def _faults(rig: Rig) -> list[Case]:
    """All of them; where the answer is streamed, one error with a status, because those come before any stream."""
    every = [*OWN[rig.provider], *ANYWHERE]
    statuses = [case for case in every if isinstance(case[0], Failure)]
    return [case for case in every if not rig.streaming or case not in statuses[1:]]


FAULTS = [
    pytest.param(rig, reply, kind, id=f"{rig.name}: {_named(reply)}") for rig in RIGS for reply, kind in _faults(rig)
]


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Loading the machine's certificates takes longer than most of these tests, and plain HTTP needs none."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(params=RIGS, ids=lambda rig: rig.name)
def rig(request: pytest.FixtureRequest) -> Rig:
    chosen = request.param
    assert isinstance(chosen, Rig)
    return chosen


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, by us at any level and by the libraries at level INFO, where the service keeps them."""
    caplog.set_level("INFO")
    with structlog.testing.capture_logs() as events:
        yield lambda: caplog.text + repr(events)


@pytest.mark.parametrize(("rig", "reply", "kind"), FAULTS)
async def test_fault_of_the_provider_is_the_error_that_says_what_to_do(
    rig: Rig, reply: Reply, kind: type[SelfBuildError]
) -> None:
    async with rig.before(reply) as (model, server):
        with pytest.raises(kind) as caught:
            await model.ask(a_question(), timeout_s=10)

    assert caught.type is kind
    assert len(server.received) == 1, "retries belong to the workflow"
    assert rig.provider in str(caught.value)


@pytest.mark.parametrize(
    ("rig", "error_type", "kind"),
    [
        pytest.param(rig, *case, id=f"{rig.name}: {case[0]}")
        for rig in RIGS
        if rig.streaming
        for case in IN_STREAM[rig.provider]
    ],
)
async def test_error_in_mid_stream_is_told_by_its_type(rig: Rig, error_type: str, kind: type[SelfBuildError]) -> None:
    async with rig.before(FailInStream(error_type)) as (model, server):
        with pytest.raises(kind, match="200") as caught:
            await model.ask(a_question(), timeout_s=10)

    assert caught.type is kind
    assert len(server.received) == 1


async def test_stalled_answer_ends_at_the_limit(rig: Rig) -> None:
    async with rig.before(Stall()) as (model, server):
        with pytest.raises(Unreachable):
            await model.ask(a_question(), timeout_s=0.2)

    assert len(server.received) == 1


async def test_trickling_answer_ends_at_the_total_limit(rig: Rig) -> None:
    started_s = time.monotonic()
    async with rig.before(Stall(trickling=True)) as (model, server):
        with pytest.raises(Unreachable, match=r"within 0\.2 s"):
            await model.ask(a_question(), timeout_s=0.2)

        assert not server.closing.is_set(), "the client gave up, not the server"

    assert time.monotonic() - started_s < 20, "the server alone would go on for 30 s"


async def test_cancelled_request_ends_as_cancelled(rig: Rig) -> None:
    async with rig.before(Stall()) as (model, server):
        task = asyncio.create_task(model.ask(a_question(), timeout_s=60))
        assert await asyncio.to_thread(server.asked.wait, 10)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_refused_connection_is_unreachable(rig: Rig) -> None:
    with LlmServer(GOOD) as server:
        url = server.url
    model = rig.make(url)

    with pytest.raises(Unreachable):
        await model.ask(a_question(), timeout_s=10)

    await model.aclose()


async def test_throttling_says_when_to_come_back(rig: Rig) -> None:
    later = {"retry-after": "Mon, 23 Nov 2026 00:00:30 GMT"}
    async with rig.before(Failure(429, headers=later), now=lambda: SOON) as (model, server):
        with pytest.raises(TransientError) as caught:
            await model.ask(a_question(), timeout_s=10)

    assert caught.value.retry_after_s == 30
    assert len(server.received) == 1


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
def test_wait_is_read_in_all_its_forms(headers: dict[str, str], expected_s: float | None) -> None:
    assert retry_after_s(headers, SOON) == expected_s


async def test_wrong_key_is_denied_without_being_shown(rig: Rig, logged: Callable[[], str]) -> None:
    wrong = "another-key-9876543210-of-somebody"
    async with rig.before(GOOD, key=wrong) as (model, server):
        with pytest.raises(AccessDenied) as caught:
            await model.ask(a_question(), timeout_s=10)

    assert wrong not in "".join(traceback.format_exception(caught.value)) + logged()
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        Failure(401, message=f"invalid key {KEY}"),
        Failure(500, message=f"proxy saw Bearer {KEY}"),
        Failure(400, "invalid_request_error", message=f"your key {KEY}"),
        Raw(f"<html>{KEY}</html>".encode(), "text/html", 502),
        Raw(f"<html>{KEY}</html>".encode(), "text/html"),
        Answer(f"not json {KEY}"),
        Answer(f"I refuse {KEY}", stop="refused", refusal=f"because of {KEY}"),
        Answer("{}", model=KEY),
        Reset(),
    ],
    ids=["good", "401", "500", "400", "502", "200", "prose", "refusal", "model", "reset"],
)
async def test_key_is_never_in_logs_errors_or_answers(rig: Rig, reply: Reply, logged: Callable[[], str]) -> None:
    shown = ""
    async with rig.before(reply) as (model, _):
        try:
            shown = repr(await model.ask(a_question(), timeout_s=10))
        except SelfBuildError as error:
            shown = "".join(traceback.format_exception(error))

        assert KEY not in repr(model)

    assert shown
    assert KEY not in shown + logged()


@pytest.mark.parametrize(
    ("message", "param", "remedy"),
    [
        pytest.param("does not support 0.1 with this model", "temperature", "LLM_TEMPERATURE=1", id="temperature"),
        pytest.param("unknown field: temperature", None, "LLM_TEMPERATURE=1", id="temperature in words"),
        pytest.param("This response_format type is unavailable now", None, "OPENAI_MODEL", id="format"),
        pytest.param("Unsupported value", "reasoning_effort", "LLM_EFFORT=default", id="effort"),
        pytest.param("is too large", "max_tokens", "LLM_MAX_TOKENS", id="tokens"),
    ],
)
async def test_parameter_that_a_server_refuses_names_the_setting(message: str, param: str | None, remedy: str) -> None:
    reply = Failure(400, "invalid_request_error", message=message, param=param)
    async with Rig("openai").before(reply, options={"model": "local", "temperature": 0.1}) as (model, _):
        with pytest.raises(InvalidRequest, match=remedy):
            await model.ask(a_question(), timeout_s=10)
