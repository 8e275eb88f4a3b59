"""The supervisor's control interface: JSON over HTTP on loopback, for the agent on the same machine only."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import uvicorn
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from selfbuild.domain.base import Sha
from selfbuild.domain.errors import Conflict
from selfbuild.supervisor.service import Supervisor
from selfbuild.supervisor.state import ReleaseId
from selfbuild.supervisor.worker import Unhealthy


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


Tree = Annotated[Path, AfterValidator(_absolute)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Body = TypeVar("Body", bound=_Body)


class _Named(_Body):
    release_id: ReleaseId


class _Baseline(_Body):
    sha: Sha
    tree: Tree


class _Canary(_Baseline):
    release_id: ReleaseId


def control_app(supervisor: Supervisor) -> Starlette:
    """The interface; every request but GET /status changes what is served and answers when that is done."""

    async def status(_: Request) -> JSONResponse:
        return JSONResponse(supervisor.status())

    async def canary(body: _Canary) -> None:
        await supervisor.start_canary(body.release_id, body.sha, body.tree)

    async def promote(body: _Named) -> None:
        await supervisor.promote(body.release_id)

    async def stop_canary(body: _Named) -> None:
        await supervisor.stop_canary(body.release_id)

    async def baseline(body: _Baseline) -> None:
        await supervisor.replace_baseline(body.sha, body.tree)

    routes = [
        Route("/status", status),
        Route("/canary", _change(supervisor, _Canary, canary), methods=["POST"]),
        Route("/promote", _change(supervisor, _Named, promote), methods=["POST"]),
        Route("/stop-canary", _change(supervisor, _Named, stop_canary), methods=["POST"]),
        Route("/baseline", _change(supervisor, _Baseline, baseline), methods=["POST"]),
    ]
    # A page in a browser on this machine can send requests here: it can forge neither the host nor the content type.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    return Starlette(routes=routes, middleware=[hosts])


def _change(
    supervisor: Supervisor, kind: type[Body], act: Callable[[Body], Awaitable[None]]
) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refusal(415, "send application/json")
        try:
            body = kind.model_validate_json(await request.body())
        except ValidationError as error:
            return _refusal(400, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        try:
            await act(body)
        except Conflict as error:
            return _refusal(409, str(error))
        except Unhealthy as error:
            return _refusal(422, str(error))
        return JSONResponse(supervisor.status())

    return endpoint


def _refusal(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=status)


class ControlServer(uvicorn.Server):
    """Serves the interface; what signals mean is the supervisor's to say."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
