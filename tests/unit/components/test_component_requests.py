"""What may be asked for, what is declined before anything is written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfbuild.domain.components import MAX_CONTEXT_CHARACTERS, ComponentRequest, ComponentType, slug_of
from selfbuild.gate.component_risk import risk_of
from tests.fakes.components import a_component_request, some_requirements


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"name": "a"}, "at least 2", id="short-name"),
        pytest.param({"name": "Simple Service"}, "lower-case", id="name-with-blank"),
        pytest.param({"name": "../etc"}, "lower-case", id="name-is-a-path"),
        pytest.param({"name": "json"}, "taken", id="name-of-the-standard-library"),
        pytest.param({"name": "tests"}, "taken", id="name-of-the-tests"),
        pytest.param({"description": "  "}, "at least 1", id="no-description"),
        pytest.param({"capabilities": ()}, "at least 1", id="no-capability"),
        pytest.param({"capabilities": tuple(f"c{n}" for n in range(21))}, "at most 20", id="many-capabilities"),
        pytest.param({"capabilities": ("Find owners", "find-owners")}, "both read 'find_owners'", id="twice"),
        pytest.param({"capabilities": ("???",)}, "no letter", id="no-letter"),
        pytest.param({"capabilities": ("health",)}, "leave it out", id="health"),
        pytest.param({"capabilities": ("a\nb",)}, "pattern", id="two-lines"),
        pytest.param({"dependencies": ("requests; import os",)}, "no package", id="no-package"),
        pytest.param({"quality_requirements": {"test_coverage": 85}}, "write 0.85 for 85 %", id="percent"),
        pytest.param({"quality_requirements": {"max_complexity": 0}}, "greater than or equal to 1", id="complexity"),
        pytest.param({"quality_requirements": {"performance_target_ms": 0}}, "greater than 0", id="time"),
    ],
)
def test_wrong_requirement_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        some_requirements(**changes)


@pytest.mark.parametrize("name", ["simple_service", "meeting-summary", "a1", "x-2-y"])
def test_name_of_the_guide_is_taken(name: str) -> None:
    assert some_requirements(name=name).name == name


def test_large_context_is_refused() -> None:
    with pytest.raises(ValidationError, match="characters as JSON"):
        a_component_request(context={"notes": "x" * MAX_CONTEXT_CHARACTERS})


def test_the_same_question_has_the_same_id_whoever_asks_and_answers() -> None:
    one = a_component_request(context={"a": 1, "b": {"c": 2}})
    other = a_component_request(context={"b": {"c": 2}, "a": 1}, requested_by="bob", providers=("anthropic",))

    assert one.component_id == other.component_id


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": "globex"},
        {"component_type": ComponentType.AGENT},
        {"requirements": some_requirements(description="Something else.")},
        {"context": {"a": 1}},
    ],
    ids=str,
)
def test_another_question_has_another_id(changes: dict[str, Any]) -> None:
    assert a_component_request(**changes).component_id != a_component_request().component_id


def test_id_outlives_the_way_through_json() -> None:
    request = a_component_request(context={"list": [1, 2.5, None, True], "text": "Möte"})

    assert ComponentRequest.model_validate_json(request.model_dump_json()).component_id == request.component_id


@given(st.text(max_size=120))
def test_a_capability_becomes_a_name_or_nothing(text: str) -> None:
    slug = slug_of(text)

    assert slug == "" or f"capability_{slug}".isidentifier()
    assert slug.isascii()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"dependencies": ("requests>=2",)}, "'requests>=2' is not on the allow-list", id="dependency"),
        pytest.param({"capabilities": ("read passwords",)}, "credentials", id="credentials"),
        pytest.param({"capabilities": ("rotateApiKey",)}, "credentials", id="camel-case"),
        pytest.param({"integration_points": ("bash",)}, "a shell", id="shell"),
        pytest.param({"capabilities": ("run arbitrary code",)}, "a shell", id="arbitrary-code"),
        pytest.param({"integration_points": ("production database write",)}, "writing to production", id="production"),
    ],
)
def test_risky_request_is_declined_with_alternatives(changes: dict[str, Any], reason: str) -> None:
    request = a_component_request(requirements=some_requirements(**changes))

    declined = risk_of(request, allowed_dependencies=("pydantic",))

    assert declined is not None
    assert declined.reason_class == "risk"
    assert reason in declined.reason
    assert len(declined.alternatives) >= 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dependencies": ("Pydantic>=2", "my_package[extra]~=1.0")},
        {"description": "Never stores passwords and opens no shell.", "integration_points": ("production metrics",)},
        {"capabilities": ("write summaries", "delete drafts", "count tokens")},
    ],
    ids=str,
)
def test_harmless_request_is_not_declined(changes: dict[str, Any]) -> None:
    request = a_component_request(requirements=some_requirements(**changes))

    assert risk_of(request, allowed_dependencies=("pydantic", "my-package")) is None
