"""What all commands share: the options, and how a failure ends the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from selfbuild.cli.client import UNAVAILABLE, USAGE, CallFailed, Server
from selfbuild.cli.output import Format, say

ServerOption = Annotated[
    str | None, typer.Option("--server", help="Where it runs; SELFBUILD_SERVER, else http://127.0.0.1:8004.")
]
KeyOption = Annotated[str | None, typer.Option("--key", help="The API key; SELF_BUILDING_MCP_API_KEY, also from .env.")]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How the result is written.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="The tenant; needed where several could be meant.")]
ApplicationOption = Annotated[str | None, typer.Option("--application", help="Only this application.")]
ComponentOption = Annotated[str | None, typer.Option("--component", help="Only this component.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most, newest first.")]


def reach(server: str | None, key: str | None) -> Server:
    """The server that the options or the settings name."""
    from selfbuild.domain.errors import Misconfigured
    from selfbuild.settings import ClientSettings

    try:
        settings = ClientSettings.load()
    except Misconfigured as error:
        say(str(error))
        raise typer.Exit(USAGE) from error
    stored = settings.mcp_api_key.get_secret_value() if settings.mcp_api_key is not None else None
    return Server(server or settings.server, key or stored)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Say why a call failed on stderr, and end with its exit code."""
    try:
        yield
    except CallFailed as error:
        say(str(error))
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError as error:
        raise typer.Exit(UNAVAILABLE) from error
