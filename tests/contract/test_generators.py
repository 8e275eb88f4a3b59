"""What every generator promises, on the fake, the scripted one, and a model of each provider over real HTTP."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog

from selfbuild.adapters.model_generator import ModelGenerator
from selfbuild.adapters.scripted_generator import ScriptedGenerator
from selfbuild.domain.errors import MalformedAnswer, Misconfigured, Throttled
from selfbuild.domain.model_calls import Exchange, ModelAnswer, Spender, StopReason, Usage
from selfbuild.domain.patches import Patch
from selfbuild.ports import PatchGenerator
from tests.contract.model_rigs import KEY, Rig
from tests.fakes.generator import OWNER_PATCH, FakeGenerator, a_patch_request
from tests.fakes.models import FakeModel
from tests.servers.llm import Answer, LlmServer

Make = Callable[[Patch | str], Awaitable[PatchGenerator]]


@pytest.fixture(params=["fake", "scripted", "anthropic", "bedrock", "openai"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a generator of the kind under test which answers with the patch, or refuses for the reason."""
    opened = AsyncExitStack()

    async def made(outcome: Patch | str) -> PatchGenerator:
        answer = outcome.model_dump() if isinstance(outcome, Patch) else {"summary": outcome, "edits": []}
        if request.param == "fake":
            return FakeGenerator(outcome)
        if request.param == "scripted":
            file = tmp_path / "answer.json"
            file.write_text(json.dumps(answer))
            return ScriptedGenerator(file)
        server = opened.enter_context(LlmServer(Answer(json.dumps(answer)), key=KEY))
        model = Rig(request.param).make(server.url)
        opened.push_async_callback(model.aclose)
        return ModelGenerator(model)

    async with opened:
        yield made


async def test_good_answer_is_a_patch(make: Make) -> None:
    generator = await make(OWNER_PATCH)

    proposal = await generator.propose(a_patch_request(), timeout_s=10)

    assert proposal.patch == OWNER_PATCH
    assert proposal.refusal is None
    assert proposal.provider == generator.name


async def test_answer_without_edits_is_a_refusal_with_its_reason(make: Make) -> None:
    generator = await make("the cause is in another service")

    proposal = await generator.propose(a_patch_request(), timeout_s=10)

    assert proposal.patch is None
    assert "the cause is in another service" in (proposal.refusal or "")


async def test_same_request_twice_is_answered_twice(make: Make) -> None:
    generator = await make(OWNER_PATCH)

    first = await generator.propose(a_patch_request(), timeout_s=10)
    told = Exchange(answer="{}", feedback="not accepted")
    second = await generator.propose(a_patch_request(exchanges=(told,)), timeout_s=10)

    assert first.patch == second.patch == OWNER_PATCH


def test_names_are_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(OWNER_PATCH.model_dump_json())

    assert ModelGenerator(FakeModel("x", name="bedrock")).name == "bedrock"
    assert ScriptedGenerator(file).name == "scripted"


def a_model_answer(text: str = "", stop: StopReason = StopReason.END, detail: str = "end_turn") -> ModelAnswer:
    return ModelAnswer(
        provider="fake", model="m", text=text, stop_reason=stop, stop_detail=detail, usage=Usage(input_tokens=1000)
    )


@pytest.mark.parametrize(
    ("answer", "reason", "repairable"),
    [
        pytest.param(
            a_model_answer("no", StopReason.REFUSED, "cyber harm"),
            "refused by the model: cyber harm",
            False,
            id="refused",
        ),
        pytest.param(
            a_model_answer("", StopReason.REFUSED, ""), "refused by the model: no reason given", False, id="no reason"
        ),
        pytest.param(a_model_answer("Sure! Here is the patch:"), "answer format: ", True, id="prose"),
        pytest.param(
            a_model_answer('{"summary": "s", "edits": [], "extra": 1}'),
            "declined by the model: s",
            False,
            id="declined",
        ),
        pytest.param(
            a_model_answer('{"summary": "s", "edits": [{"path": "a"}]}'), "answer format: ", True, id="incomplete edit"
        ),
        pytest.param(a_model_answer(""), "answer format: ", True, id="no content"),
        pytest.param(a_model_answer("[" * 100_000), "answer size: ", True, id="too long"),
    ],
)
async def test_answer_without_a_patch_is_a_refusal_with_its_usage(
    answer: ModelAnswer, reason: str, *, repairable: bool
) -> None:
    proposal = await ModelGenerator(FakeModel(answer)).propose(a_patch_request(), timeout_s=10)

    assert proposal.patch is None
    assert (proposal.refusal or "").startswith(reason)
    assert proposal.repairable is repairable
    assert proposal.usage.input_tokens == 1000
    assert proposal.answer == answer
    assert proposal.question is not None


@pytest.mark.parametrize("stop", [StopReason.CUT_OFF, StopReason.OTHER])
async def test_answer_that_is_not_whole_is_never_read(stop: StopReason) -> None:
    generator = ModelGenerator(FakeModel(a_model_answer(OWNER_PATCH.model_dump_json(), stop, "max_tokens")))

    with pytest.raises(MalformedAnswer, match=r"fake ended its answer with 'max_tokens'.*LLM_MAX_TOKENS"):
        await generator.propose(a_patch_request(), timeout_s=10)


async def test_model_is_asked_with_code_schema_spender_and_the_conversation() -> None:
    model = FakeModel(OWNER_PATCH.model_dump_json())
    spender = Spender(tenant_id="acme", application="meetnotes", cycle_id="c1")
    told = Exchange(answer="first", feedback="the tests fail")
    request = a_patch_request(exchanges=(told,)).model_copy(update={"spender": spender})

    await ModelGenerator(model).propose(request, timeout_s=10)

    (asked,) = model.requests
    assert 'item["owner"]' in asked.user
    assert asked.answer_schema["required"] == ["summary", "edits"]
    assert asked.spender == spender
    assert [each.answer for each in asked.exchanges] == ["first"]
    assert "the tests fail" in asked.exchanges[0].feedback


@pytest.mark.parametrize(
    ("exchanges", "last", "asked"),
    [(0, False, None), (0, True, None), (1, False, None), (1, True, "the-best")],
    ids=["first", "only attempt", "repair", "last repair"],
)
async def test_last_repair_asks_the_repair_model(exchanges: int, asked: str | None, *, last: bool) -> None:
    model = FakeModel(OWNER_PATCH.model_dump_json())
    told = (Exchange(answer="{}", feedback="no"),) * exchanges
    request = a_patch_request(exchanges=told).model_copy(update={"last_attempt": last})

    await ModelGenerator(model, repair_model="the-best").propose(request, timeout_s=10)

    assert model.requests[0].model == asked


async def test_prompt_is_logged_by_digest_only() -> None:
    with structlog.testing.capture_logs() as events:
        await ModelGenerator(FakeModel(OWNER_PATCH.model_dump_json())).propose(a_patch_request(), timeout_s=10)

    shown = repr(events)
    assert "prompt_digest" in shown
    assert 'item["owner"]' not in shown
    assert "KeyError" not in shown


async def test_scripted_answer_by_component_is_given_whatever_its_paths(tmp_path: Path) -> None:
    elsewhere = {"summary": "s", "edits": [{"path": "../etc/passwd", "search": "a", "replace": "b"}]}
    (tmp_path / "1.json").write_text(OWNER_PATCH.model_dump_json())
    (tmp_path / "2.json").write_text(json.dumps({"summary": elsewhere}))
    generator = ScriptedGenerator(tmp_path)

    fitting = await generator.propose(a_patch_request("actions"), timeout_s=1)
    named = await generator.propose(a_patch_request("summary"), timeout_s=1)

    assert fitting.patch == OWNER_PATCH
    assert named.patch is not None
    assert named.patch.edits[0].path == "../etc/passwd"


async def test_scripted_answer_for_any_component_stands_for_those_without_their_own(tmp_path: Path) -> None:
    own = OWNER_PATCH.model_copy(update={"summary": "own"})
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"actions": own.model_dump(), "*": OWNER_PATCH.model_dump()}))
    generator = ScriptedGenerator(file)

    named = await generator.propose(a_patch_request("actions"), timeout_s=1)
    other = await generator.propose(a_patch_request("summary"), timeout_s=1)

    assert (named.patch, other.patch) == (own, OWNER_PATCH)


async def test_scripted_answer_for_files_that_are_not_shown_is_a_refusal(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(OWNER_PATCH.model_dump_json().replace("app/actions.py", "app/other.py"))

    proposal = await ScriptedGenerator(file).propose(a_patch_request(), timeout_s=1)

    assert proposal.patch is None
    assert "no scripted answer for component 'actions'" in (proposal.refusal or "")


async def test_malformed_scripted_answer_is_a_refusal(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text('{"summary": "s", "edits": [{"path": "app/actions.py"}]}')

    proposal = await ScriptedGenerator(file).propose(a_patch_request(), timeout_s=1)

    assert (proposal.refusal or "").startswith("answer format: ")


@pytest.mark.parametrize("content", [None, "", "[]", '{"actions": 1}', "{}"])
def test_file_without_scripted_answers_is_refused_at_construction(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "answer.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(Misconfigured, match=r"answer\.json"):
        ScriptedGenerator(file)


async def test_fake_gives_its_outcomes_in_order_and_raises_errors() -> None:
    generator = FakeGenerator(Throttled("later", retry_after_s=1), "no", OWNER_PATCH)

    with pytest.raises(Throttled):
        await generator.propose(a_patch_request(), timeout_s=1)
    answers = [await generator.propose(a_patch_request(), timeout_s=1) for _ in range(3)]

    assert [answer.refusal for answer in answers] == ["no", None, None]
    assert len(generator.requests) == 4
