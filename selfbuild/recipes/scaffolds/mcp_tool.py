"""The skeleton of an MCP server: one tool a capability, with its schema, over the `mcp` package."""

from string import Template

from selfbuild.recipes.scaffolds.common import Parts, literal, readme

_SERVER = Template('''"""The MCP server $name: one tool for each capability."""

from typing import Any

from mcp.server import MCPServer

from $package.capabilities import HANDLERS, call, health

DESCRIPTIONS = {
$descriptions}


def build_server() -> MCPServer[Any]:
    """The server with its tools; `run` of it serves."""
    server: MCPServer[Any] = MCPServer("$name", log_level="WARNING")
    for name in HANDLERS:
        server.add_tool(_tool(name), name=name, description=DESCRIPTIONS[name])
    server.add_tool(_health, name="health", description="What works and what does not yet")
    return server


def _tool(name: str) -> Any:
    def run(arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        return call(name, arguments or {})

    return run


def _health() -> dict[str, Any]:
    return health()


def main() -> int:
    """Serve on standard input and output."""
    build_server().run("stdio")
    return 0
''')

_TESTS = Template('''"""The MCP server, asked by a client in this process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp import Client

from $package import CAPABILITIES, server


def asked(question: Callable[[Client], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        async with Client(server.build_server()) as client:
            return await question(client)

    return asyncio.run(ask())


def test_each_capability_is_a_tool_with_a_schema() -> None:
    listed = asked(lambda client: client.list_tools())

    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {*CAPABILITIES, "health"}
    assert all("arguments" in tools[name].input_schema["properties"] for name in CAPABILITIES)
    assert all(tool.description for tool in tools.values())


@pytest.mark.parametrize("name", CAPABILITIES)
def test_tool_says_that_it_is_to_be_written(name: str) -> None:
    result = asked(lambda client: client.call_tool(name, {"arguments": {"a": 1}}))

    assert result.structured_content["error"]["code"] == "not_implemented"


def test_health_is_a_tool() -> None:
    result = asked(lambda client: client.call_tool("health", {}))

    assert result.structured_content["status"] == "incomplete"


def test_main_serves_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = []
    monkeypatch.setattr("mcp.server.MCPServer.run", lambda _, transport: served.append(transport))

    assert server.main() == 0
    assert served == ["stdio"]
''')


def files(parts: Parts) -> dict[str, str]:
    """What an MCP server has beside its capabilities."""
    use = f"```\npip install .\n{parts.name}\n```\n\nspeaks MCP on standard input and output."
    lines = "".join(f'    "{slug}": {literal(text)},\n' for slug, text in parts.capabilities.items())
    return {
        f"{parts.package}/server.py": _SERVER.substitute(package=parts.package, name=parts.name, descriptions=lines),
        f"tests/test_{parts.package}_server.py": _TESTS.substitute(package=parts.package),
        "README.md": readme(parts, use=use),
    }
