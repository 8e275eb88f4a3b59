"""`POST /mcp`: key, size, rate limit, then the MCP SDK. Plain JSON-RPC by curl is served as well."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from mcp.server import MCPServer
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.authentication import AuthCredentials
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from api.errors import UNAUTHORIZED, RateLimited, Unauthorized, code_of
from api.services import Services, rate_headers
from api.tools import PROTOCOL_HEADER, REQUESTER
from selfbuild.domain.access import RateDecision, Requester
from selfbuild.domain.errors import SelfBuildError

MAX_BODY_BYTES = 1 << 20
"""The largest call that makes sense is far below; the SDK alone would take 4 MiB."""

log = structlog.get_logger()


class _TooLarge(Exception):
    """The request is longer than MAX_BODY_BYTES."""


class McpEndpoint:
    """An ASGI application for exactly `/mcp`.

    Callers without MCP headers get plain JSON; MCP clients that accept event streams may get one, so that progress
    reaches them. Both are stateless: any worker may answer.
    """

    def __init__(
        self, server: MCPServer[Any], services: Callable[[], Services], security: TransportSecuritySettings
    ) -> None:
        self._services = services
        # The SDK has no public way to serve one MCPServer through two managers.
        inner = server._lowlevel_server
        self._json = StreamableHTTPSessionManager(inner, json_response=True, stateless=True, security_settings=security)
        self._stream = StreamableHTTPSessionManager(inner, stateless=True, security_settings=security)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve while entered; once only."""
        async with self._json.run(), self._stream.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["method"] != "POST":
            return await _refusal(405, "Method Not Allowed: use POST", headers={"Allow": "POST"})(scope, receive, send)
        message: Any = None
        try:
            requester = await self._services().requester(headers.get("authorization"))
            body = await _read(headers, receive)
            message = _parsed(body)
            decision = await self._count(requester, message)
        except Unauthorized:
            challenge = {"WWW-Authenticate": 'Bearer realm="self-building", error="invalid_token"'}
            return await _refusal(401, UNAUTHORIZED, headers=challenge)(scope, receive, send)
        except _TooLarge:
            return await _refusal(413, f"Request too large: at most {MAX_BODY_BYTES} bytes")(scope, receive, send)
        except RateLimited as error:
            limits = rate_headers(error.decision, time.time())
            return await _refusal(429, str(error), message=message, headers=limits)(scope, receive, send)
        except SelfBuildError as error:
            return await _refusal(code_of(error), str(error), message=message)(scope, receive, send)
        scope = _authenticated(scope, requester)
        _add_missing_headers(scope, is_json=message is not None)
        await self._manager(headers).handle_request(
            scope, _replayed(body, receive), _with_headers(send, rate_headers(decision, time.time()))
        )
        return None

    async def _count(self, requester: Requester, message: Any) -> RateDecision | None:
        if not isinstance(message, dict) or message.get("method") != "tools/call":
            return None
        params = message.get("params")
        if not isinstance(params, dict) or not isinstance(params.get("name"), str):
            return None
        arguments = params.get("arguments")
        tenant_id = arguments.get("tenant_id") if isinstance(arguments, dict) else None
        return await self._services().count(requester, params["name"], tenant_id)

    def _manager(self, headers: Headers) -> StreamableHTTPSessionManager:
        streams = PROTOCOL_HEADER in headers and "text/event-stream" in headers.get("accept", "")
        return self._stream if streams else self._json


async def _read(headers: Headers, receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _TooLarge
    body = bytearray()
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            break
        body += event.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _TooLarge
        more = event.get("more_body", False)
    return bytes(body)


def _parsed(body: bytes) -> Any:
    """The JSON value, or None: what is no JSON is left to the SDK to refuse."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _refusal(code: int, text: str, *, message: Any = None, headers: dict[str, str] | None = None) -> JSONResponse:
    number = message.get("id") if isinstance(message, dict) else None
    body = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}
    return JSONResponse(body, code, headers=headers)


def _authenticated(scope: Scope, requester: Requester) -> Scope:
    """The scope with who calls, for our tools and for the SDK, which binds what it seals to the user."""
    token = AccessToken(
        token="",
        client_id=requester.key_id,
        subject=requester.principal,
        scopes=[each.value for each in requester.scopes],
    )
    user = AuthenticatedUser(token)
    return {**scope, REQUESTER: requester, "user": user, "auth": AuthCredentials(user.scopes)}


def _add_missing_headers(scope: Scope, *, is_json: bool) -> None:
    """Let curl omit what MCP asks for.

    curl -d says it sends a form. Taking JSON for JSON is safe, because the key is only read from `Authorization`,
    which a form of another site cannot send.
    """
    scope["headers"] = list(scope["headers"])
    headers = MutableHeaders(scope=scope)
    if is_json and not headers.get("content-type", "").lower().startswith("application/json"):
        headers["content-type"] = "application/json"
    if headers.get("accept", "*/*") == "*/*":
        headers["accept"] = "application/json, text/event-stream"


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that first gives the body that has been read already."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _with_headers(send: Send, extra: dict[str, str]) -> Send:
    async def send_with_headers(event: Message) -> None:
        if event["type"] == "http.response.start" and extra:
            headers = MutableHeaders(raw=list(event["headers"]))
            headers.update(extra)
            event = {**event, "headers": headers.raw}
        await send(event)

    return send_with_headers
