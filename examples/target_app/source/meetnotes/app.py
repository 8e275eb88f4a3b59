"""The HTTP service: checks what is sent, answers, and lets each request be observed."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meetnotes.actions import action_items
from meetnotes.emitter import Emitter
from meetnotes.observe import BadRequest, Scope, observed
from meetnotes.summary import summarise
from meetnotes.topics import distinct_topics


def _transcript(body: dict[str, Any]) -> list[str]:
    words = body.get("transcript")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadRequest("'transcript' must be a list of strings")
    return words


def _is_item(item: object) -> bool:
    return (
        isinstance(item, dict)
        and "text" in item
        and all(isinstance(value, str) for value in item.values())
    )


def _items(body: dict[str, Any]) -> list[dict[str, str]]:
    items = body.get("items")
    if not isinstance(items, list) or not all(_is_item(item) for item in items):
        raise BadRequest("'items' must be a list of objects of strings, each with a 'text'")
    return items


def topics(body: dict[str, Any]) -> dict[str, Any]:
    """Answer POST /topics."""
    return {"topics": distinct_topics(_transcript(body))}


def actions(body: dict[str, Any]) -> dict[str, Any]:
    """Answer POST /actions."""
    return {"actions": action_items(_items(body))}


def summary(body: dict[str, Any]) -> dict[str, Any]:
    """Answer POST /summary."""
    return asdict(summarise(str(body.get("title", "Meeting")), _items(body)))


def create_app(emitter: Emitter, scope: Scope) -> Starlette:
    """Build the service; the emitter runs from its startup to its shutdown."""

    async def healthz(_: Request) -> JSONResponse:
        dropped = emitter.dropped
        return JSONResponse(
            {"status": "ok", "release": scope.release, "telemetry_dropped": dropped}
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        emitter.start()
        yield
        await asyncio.to_thread(emitter.stop)

    answers = {"topics": topics, "actions": actions, "summary": summary}
    routes = [
        Route(f"/{component}", observed(component, answer, emitter, scope), methods=["POST"])
        for component, answer in answers.items()
    ]
    return Starlette(routes=[*routes, Route("/healthz", healthz)], lifespan=lifespan)


app = create_app(
    Emitter(os.environ.get("MEETNOTES_LOG_GROUP", "/meetmind/meetnotes")),
    Scope(
        release=os.environ.get("RELEASE_ID", "dev"),
        namespace=os.environ.get("MEETNOTES_NAMESPACE", "MeetMind/MCPUIHub"),
    ),
)
