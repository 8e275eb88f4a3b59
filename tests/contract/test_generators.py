"""What every generator promises, on the fake, the scripted one and the Claude one over real HTTP."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from selfbuild.adapters.anthropic_generator import AnthropicGenerator
from selfbuild.adapters.scripted_generator import ScriptedGenerator
from selfbuild.domain.errors import Misconfigured, Throttled
from selfbuild.domain.model_calls import Exchange
from selfbuild.domain.patches import Patch
from selfbuild.ports import PatchGenerator
from tests.fakes.generator import OWNER_PATCH, FakeGenerator, a_patch_request
from tests.servers.llm import Answer, LlmServer

KEY = "sk-ant-test-0123456789abcdef0123456789"

Make = Callable[[Patch | str], Awaitable[PatchGenerator]]


@pytest.fixture(params=["fake", "scripted", "anthropic", "anthropic-streaming"])
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
        server = opened.enter_context(LlmServer(Answer(json.dumps(answer))))
        streaming = request.param == "anthropic-streaming"
        generator = AnthropicGenerator(api_key=KEY, base_url=server.url, streaming=streaming)
        opened.push_async_callback(generator.aclose)
        return generator

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


async def test_names_are_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(OWNER_PATCH.model_dump_json())

    claude = AnthropicGenerator(api_key=KEY)
    await claude.aclose()

    assert (claude.name, ScriptedGenerator(file).name) == ("anthropic", "scripted")


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
