"""The HTTP server: MCP at `/mcp`, REST at `/v1`, health. Composition root of the API process."""

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mcp.server.transport_security import TransportSecuritySettings
from starlette.exceptions import HTTPException
from starlette.routing import Route

from api.errors import INTERNAL, UNAUTHORIZED, RateLimited, Unauthorized, code_of, error_body
from api.mcp import McpEndpoint
from api.rest import router
from api.services import Services, rate_headers
from api.tools import build_server
from selfbuild.adapters.access import SqlAccess
from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.adapters.component_store import SqlComponents
from selfbuild.adapters.spend_store import SqlSpendLedger
from selfbuild.adapters.store import SqlStore
from selfbuild.agent import VERSION, Agent
from selfbuild.domain.errors import Misconfigured, SelfBuildError
from selfbuild.log import configure
from selfbuild.settings import Settings, is_loopback
from selfbuild.telemetry_setup import open_store
from selfbuild.temporal import connect

log = structlog.get_logger()


@asynccontextmanager
async def services_of(settings: Settings) -> AsyncIterator[Services]:
    """Open the store, make sure of an administrator, and connect to Temporal at the first need of it."""
    store = SqlStore(settings.store_url)
    try:
        await store.open()
        access = SqlAccess(store.engine)
        await _seed(access, settings)
        client = await connect(settings.temporal_address, settings.temporal_namespace, lazy=True)
        with open_store(settings) as telemetry:
            artifacts = FolderArtifacts(settings.state_dir / "artifacts")
            components = SqlComponents(store.engine)
            agent = Agent(
                settings,
                store,
                client,
                telemetry=telemetry,
                artifacts=artifacts,
                components=components,
                ledger=SqlSpendLedger(store.engine),
            )
            yield Services(agent, access, limits=settings.rate_limits())
    finally:
        await store.close()


def create_app(
    settings: Settings, *, services: Callable[[Settings], AbstractAsyncContextManager[Services]] = services_of
) -> FastAPI:
    """The ASGI application; `services` is entered at its start and left at its end.

    Raises:
        Misconfigured: a setting is wrong; also at the start, for the store and the administrator's key.
    """
    configure(settings.log_level, settings.log_format)
    app = FastAPI(title="Self-Building Agent", version=VERSION, docs_url=None, redoc_url=None)

    def current() -> Services:
        found: Services = app.state.services
        return found

    server = build_server(lambda: current().operations, version=VERSION)
    endpoint = McpEndpoint(server, current, _transport_security(settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await stack.enter_async_context(services(settings))
            await stack.enter_async_context(endpoint.run())
            log.info("api.started", version=VERSION)
            yield

    app.router.lifespan_context = lifespan
    app.router.routes.append(Route("/mcp", endpoint, include_in_schema=False))
    app.include_router(router)
    _add_health(app, current)
    _add_error_shapes(app)
    return app


def app_factory() -> FastAPI:
    """For `uvicorn --factory api.app:app_factory`: the application from the environment and `.env`."""
    return create_app(Settings.load())


async def _seed(access: SqlAccess, settings: Settings) -> None:
    now = datetime.now(UTC)
    wanted = settings.mcp_api_key.get_secret_value() if settings.mcp_api_key is not None else None
    made = await access.seed(wanted, now)
    if made is not None:
        # The only time that the key can be seen; it must not reach the logs.
        sys.stderr.write(
            f"No API key was configured. Made one for 'admin'; it is shown only now:\n\n"
            f"  SELF_BUILDING_MCP_API_KEY={made}\n\n"
        )
        sys.stderr.flush()
    if wanted is not None and await access.authenticate(wanted, now) is None:
        raise Misconfigured("MCP_API_KEY: this key was revoked or replaced earlier: choose another one")


def _transport_security(settings: Settings) -> TransportSecuritySettings:
    """Which `Host` and `Origin` headers are answered.

    On loopback a page of another site could reach us by DNS rebinding, so only loopback names are taken. On another
    address the operator names the hosts; without names the key alone protects, which such a page does not have.
    """
    names = ["127.0.0.1:*", "localhost:*", "[::1]:*", "127.0.0.1", "localhost", *settings.mcp_allowed_hosts]
    guarded = is_loopback(settings.mcp_host) or bool(settings.mcp_allowed_hosts)
    origins = [f"{scheme}://{name}" for name in names for scheme in ("http", "https")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=guarded, allowed_hosts=names, allowed_origins=origins
    )


def _add_health(app: FastAPI, current: Callable[[], Services]) -> None:
    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        """Whether calls can be served."""
        problems = await current().operations.check()
        if problems:
            return JSONResponse({"status": "not_ready", "unreachable": sorted(problems)}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/health")
    async def health() -> JSONResponse:
        """Health without a key: names of components, no addresses."""
        operations = current().operations
        problems = await operations.check()
        body = {
            "status": "unhealthy" if problems else "healthy",
            "agent": "self-building",
            "version": VERSION,
            "uptime_seconds": round(operations.uptime_s, 3),
            "components": {name: "unreachable" if name in problems else "connected" for name in ("store", "temporal")},
        }
        return JSONResponse(body, 503 if problems else 200)


def _add_error_shapes(app: FastAPI) -> None:
    """Every error in the promised shape."""

    @app.exception_handler(SelfBuildError)
    async def ours(_: Request, error: SelfBuildError) -> JSONResponse:
        code = code_of(error)
        return JSONResponse(error_body(code, str(error)), code)

    @app.exception_handler(Unauthorized)
    async def unauthorized(_: Request, _error: Unauthorized) -> JSONResponse:
        headers = {"WWW-Authenticate": 'Bearer realm="self-building"'}
        return JSONResponse(error_body(401, UNAUTHORIZED), 401, headers=headers)

    @app.exception_handler(RateLimited)
    async def rate_limited(_: Request, error: RateLimited) -> JSONResponse:
        return JSONResponse(error_body(429, str(error)), 429, headers=rate_headers(error.decision, time.time()))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        details = [
            {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in error.errors()
        ]
        text = "; ".join(f"{each['field']}: {each['message']}" for each in details)
        return JSONResponse(error_body(422, f"Validation failed: {text}", details), 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        body = error_body(error.status_code, str(error.detail))
        return JSONResponse(body, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        log.error("request.failed", exc_info=error, error_type=type(error).__name__)
        return JSONResponse(error_body(500, INTERNAL), 500)


def serve(settings: Settings, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    app = create_app(settings)
    # h11 trims header white space as RFC 9110 asks; httptools does not.
    uvicorn.run(
        app,
        host=settings.mcp_host,
        port=settings.mcp_port,
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        **options,
    )
