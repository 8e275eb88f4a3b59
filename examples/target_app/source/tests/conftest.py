import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from meetnotes.app import create_app
from meetnotes.emitter import Emitter, Line
from meetnotes.observe import Scope


def call(
    app: ASGIApp, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Send one request straight to an ASGI application."""
    sent: list[Message] = []
    given = {"host": "meetnotes.example", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent[1:]))


@dataclass
class Service:
    """The application with a sink that keeps what it is sent."""

    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.emitter = Emitter("unused", self.lines.extend)
        self.app = create_app(self.emitter, Scope(release="r7", namespace="Test"))

    def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.app, "POST", path, json.dumps(body).encode(), named)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        return call(self.app, "GET", path)

    def documents(self) -> list[dict[str, Any]]:
        self.emitter.flush()
        return [json.loads(text) for _, text in self.lines]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def request_to() -> Callable[..., tuple[int, dict[str, Any]]]:
    return call
