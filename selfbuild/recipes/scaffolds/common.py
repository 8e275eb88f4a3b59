"""What the skeletons of all types share: the capabilities, their tests, README and pyproject."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

from selfbuild.domain.components import ComponentRequest, ComponentType

PARTS_OF_TYPE = {
    ComponentType.SKILL: "`call(name, arguments)` and `health()`",
    ComponentType.AGENT: "the loop of perceive, decide and act, with its state",
    ComponentType.SERVICE: "a WSGI service with `/health` and one route a capability",
    ComponentType.MCP_TOOL: "an MCP server with one tool a capability",
}

_CAPABILITIES = Template('''\
"""The capabilities of $name: checks what is asked, and says of each that it is still to be written."""

from collections.abc import Callable, Mapping
from typing import Any

Answer = dict[str, Any]
Handler = Callable[[Mapping[str, Any]], Answer]
MAX_ARGUMENTS = 32


def failure(code: str, message: str, **details: Any) -> Answer:
    """The shape of every answer that is no result."""
    return {"ok": False, "error": {"code": code, "message": message, **details}}


def not_implemented(capability: str) -> Answer:
    """What a capability answers that is still to be written."""
    return failure("not_implemented", f"{capability} is still to be written", capability=capability)


$handlers
HANDLERS: dict[str, Handler] = {
$table}
CAPABILITIES = tuple(HANDLERS)
INTEGRATION_POINTS: tuple[str, ...] = $points


def call(name: str, arguments: Mapping[str, Any]) -> Answer:
    """Have a capability do its work; what is asked wrongly is answered, not raised."""
    handler = HANDLERS.get(name)
    if handler is None:
        return failure("unknown_capability", f"there is no capability {name!r}", known=list(CAPABILITIES))
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        return failure("invalid_arguments", "arguments must be an object whose keys are text")
    if len(arguments) > MAX_ARGUMENTS:
        return failure("invalid_arguments", f"at most {MAX_ARGUMENTS} arguments are taken, not {len(arguments)}")
    return handler(arguments)


def health() -> Answer:
    """What works and what does not yet."""
    written = [name for name in CAPABILITIES if call(name, {}).get("error", {}).get("code") != "not_implemented"]
    return {
        "status": "ok" if len(written) == len(CAPABILITIES) else "incomplete",
        "capabilities": {name: "ready" if name in written else "not_implemented" for name in CAPABILITIES},
        "integration_points": {point: "not_connected" for point in INTEGRATION_POINTS},
    }
''')

_HANDLER = Template('''def capability_$slug(arguments: Mapping[str, Any]) -> Answer:
    """To be written: $text."""
    return not_implemented("$slug")


''')

_TESTS = Template('''\
"""What the skeleton does: capabilities are registered, arguments are checked, missing work is said to be missing."""

import pytest

from $package import CAPABILITIES, call, health
from $package.capabilities import INTEGRATION_POINTS, MAX_ARGUMENTS

EXPECTED = (
$names)


$tests
def test_capabilities_are_those_that_were_asked_for() -> None:
    assert CAPABILITIES == EXPECTED


def test_unknown_capability_is_answered_with_the_known_ones() -> None:
    answer = call("no such thing", {})

    assert answer["ok"] is False
    assert answer["error"]["code"] == "unknown_capability"
    assert answer["error"]["known"] == list(EXPECTED)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["a", "list"], id="no-object"),
        pytest.param({1: "a number"}, id="key-is-no-text"),
        pytest.param({str(number): number for number in range(MAX_ARGUMENTS + 1)}, id="too-many"),
    ],
)
def test_wrong_arguments_are_answered(arguments: object) -> None:
    answer = call(EXPECTED[0], arguments)  # type: ignore[arg-type]

    assert answer["ok"] is False
    assert answer["error"]["code"] == "invalid_arguments"


def test_health_names_what_is_missing() -> None:
    answer = health()

    assert answer["status"] == "incomplete"
    assert set(answer["capabilities"]) == set(EXPECTED)
    assert set(answer["capabilities"].values()) == {"not_implemented"}
    assert list(answer["integration_points"]) == list(INTEGRATION_POINTS)
''')

_CAPABILITY_TEST = Template("""def test_capability_$slug() -> None:
    answer = call("$slug", {})

    assert answer["ok"] is False
    assert answer["error"]["code"] == "not_implemented"
    assert answer["error"]["capability"] == "$slug"


""")

_README = Template("""# $name

$description

This is a **skeleton**: $shape work and are tested; the capabilities below are still to be written and answer
`not_implemented` until then.

## Capabilities

$capabilities
## To be written

$to_write
## Use

$use

## Test

```
python -m pytest
```
""")

_PROJECT = Template("""[project]
name = "$distribution"
version = "0.1.0"
description = $description
requires-python = ">=3.11"
dependencies = [$dependencies]
$scripts
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
""")


@dataclass(frozen=True)
class Parts:
    """A request as the templates need it."""

    request: ComponentRequest
    package: str
    name: str
    capabilities: Mapping[str, str]
    """Name in the code -> words of the request that are safe inside a docstring."""

    @classmethod
    def of(cls, request: ComponentRequest) -> "Parts":
        """Take a request apart."""
        safe = {slug: in_docstring(text) for slug, text in request.capabilities.items()}
        return cls(request, request.package, request.requirements.name, safe)

    @property
    def description(self) -> str:
        return one_line(self.request.requirements.description)


def in_docstring(text: str) -> str:
    """Words of others as one ASCII line that cannot end the docstring it stands in."""
    plain = one_line(text).encode("ascii", "replace").decode()
    return "".join("'" if each == '"' else "/" if each == "\\" else each for each in plain).rstrip(". ")


def one_line(text: str) -> str:
    """Text of others on one line, without what is not shown."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def common_files(parts: Parts) -> dict[str, str]:
    """Capabilities, their tests and the descriptions; the types add to them and may replace them."""
    slugs = list(parts.capabilities)
    points = tuple(one_line(each) for each in parts.request.requirements.integration_points)
    shown = "(" + "".join(f"{literal(each)}, " for each in points).rstrip(" ") + ")"
    capabilities = _CAPABILITIES.substitute(
        name=parts.name,
        handlers="".join(
            _HANDLER.substitute(slug=slug, text=text) for slug, text in parts.capabilities.items()
        ).rstrip()
        + "\n\n",
        table="".join(f'    "{slug}": capability_{slug},\n' for slug in slugs),
        points=shown,
    )
    tests = _TESTS.substitute(
        package=parts.package,
        names="".join(f'    "{slug}",\n' for slug in slugs),
        tests="".join(_CAPABILITY_TEST.substitute(slug=slug) for slug in slugs).rstrip() + "\n\n",
    )
    return {
        "pyproject.toml": project_file(parts.request),
        f"{parts.package}/__init__.py": (
            f'"""{in_docstring(parts.description)[:100] or parts.name}."""\n\n'
            f"from {parts.package}.capabilities import CAPABILITIES, call, health\n\n"
            '__all__ = ["CAPABILITIES", "call", "health"]\n'
        ),
        f"{parts.package}/capabilities.py": capabilities,
        f"tests/test_{parts.package}_capabilities.py": tests,
    }


def literal(text: str) -> str:
    """A string literal in double quotes, of ASCII alone; also valid TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(
            each if " " <= each <= "~" else f"\\u{ord(each):04x}" if ord(each) < 0x10000 else f"\\U{ord(each):08x}"
            for each in escaped
        )
        + '"'
    )


def readme(parts: Parts, *, use: str) -> str:
    """What works, what is missing, how it is used and tested."""
    points = [one_line(each) for each in parts.request.requirements.integration_points]
    missing = [f"- [ ] capability `{slug}` in `{parts.package}/capabilities.py`" for slug in parts.capabilities]
    missing += [f"- [ ] connection with {point}" for point in points]
    return _README.substitute(
        name=parts.name,
        description=parts.description,
        shape=PARTS_OF_TYPE[parts.request.component_type],
        capabilities="".join(f"- `{slug}`: {one_line(text)}\n" for slug, text in parts.request.capabilities.items()),
        to_write="\n".join(missing) + "\n",
        use=use,
    )


def project_file(request: ComponentRequest) -> str:
    """The component's pyproject.toml; also beside what a model writes, so that no model configures the tests."""
    needed = [one_line(each) for each in request.requirements.dependencies]
    if request.component_type is ComponentType.MCP_TOOL and not any(each.startswith("mcp") for each in needed):
        needed.append("mcp>=2.3,<3")
    scripts = ""
    if request.component_type in (ComponentType.SERVICE, ComponentType.MCP_TOOL):
        module = "app" if request.component_type is ComponentType.SERVICE else "server"
        scripts = f'\n[project.scripts]\n{request.requirements.name} = "{request.package}.{module}:main"\n'
    return _PROJECT.substitute(
        distribution=request.requirements.name,
        description=literal(one_line(request.requirements.description)[:200]),
        dependencies=", ".join(literal(each) for each in needed),
        scripts=scripts,
        package=request.package,
    )
