"""Serves handlers over HTTP and publishes latency, requests, errors, gauges and tracebacks of each."""

import asyncio
import inspect
import json
import os
import resource
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .emitter import Emitter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
DIMENSION_SETS = [["component"], ["tenant_id", "component"], ["component", "release"]]
REQUEST_UNITS = {"ResponseLatency": "Milliseconds", "Requests": "Count", "Errors": "Count"}

Body = dict[str, Any]
Handler = Callable[[Body], Any]


class BadRequest(ValueError):
    """The client's mistake: answered with 400 and not counted as an error of the service."""


@dataclass(frozen=True)
class Gauge:
    """A level that the process publishes once a second."""

    name: str
    component: str
    unit: str
    read: Callable[[], float]


def memory_mb() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> float:
    """File descriptors that this process holds."""
    return float(len(os.listdir("/proc/self/fd")))


class _Telemetry:
    def __init__(self) -> None:
        self.release = os.environ.get("RELEASE_ID", "dev")
        self._tenant = os.environ.get("SERVICE_TENANT", "dev")
        self._namespace = os.environ.get("SERVICE_NAMESPACE", "Dev")
        self.emitter = Emitter(os.environ.get("SERVICE_LOG_GROUP", "/dev"), os.environ.get("AWS_ENDPOINT_URL"))

    def put(self, component: str, units: Mapping[str, str], fields: Mapping[str, object]) -> None:
        metrics = [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in units.items()]
        described = {"Namespace": self._namespace, "Dimensions": DIMENSION_SETS, "Metrics": metrics}
        aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]}
        common = {"component": component, "tenant_id": self._tenant, "release": self.release}
        self.emitter.put({"_aws": aws, **common, **fields})


def describe_error(error: BaseException) -> Body:
    """Fields of a log line that say where in this repository an exception came from."""
    frames = list(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in frames if frame.filename.startswith(ROOT)]
    place = (own or frames)[-1]
    described = {
        "type": type(error).__name__,
        "message": str(error),
        "file": place.filename.removeprefix(ROOT),
        "line": place.lineno,
        "function": place.name,
    }
    return {"error": described, "stack": "".join(traceback.format_exception(error)).replace(f'"{ROOT}', '"')}


def _endpoint(component: str, handler: Handler, telemetry: _Telemetry) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        started = time.perf_counter()
        details: Body = {}
        try:
            body = await _read(request)
            answer = handler(body) if inspect.iscoroutinefunction(handler) else asyncio.to_thread(handler, body)
            response = JSONResponse(await answer)
        except BadRequest as error:
            response = JSONResponse({"error": str(error)}, 400)
        except Exception as error:  # noqa: BLE001 - the edge: a bug is logged, whatever it is
            response = JSONResponse({"error": "internal"}, 500)
            details = describe_error(error)
        status = response.status_code
        fields = {
            "level": "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO",
            "message": f"{component} answered {status}",
            "status": status,
            "Requests": 1,
            "Errors": int(status >= 500),
            "ResponseLatency": round((time.perf_counter() - started) * 1000, 3),
        }
        telemetry.put(component, REQUEST_UNITS, fields | details)
        response.headers["x-release"] = telemetry.release
        return response

    return endpoint


async def _read(request: Request) -> Body:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


async def _publish(gauges: tuple[Gauge, ...], telemetry: _Telemetry) -> None:
    while True:
        for gauge in gauges:
            telemetry.put(gauge.component, {gauge.name: gauge.unit}, {"level": "INFO", gauge.name: gauge.read()})
        await asyncio.sleep(1)


def serve(handlers: Mapping[str, Handler], *, gauges: tuple[Gauge, ...] = ()) -> Starlette:
    """Each handler under POST /NAME; plain functions run in threads, coroutines on the loop."""
    telemetry = _Telemetry()

    async def healthz(_: Request) -> JSONResponse:
        levels = {gauge.name: gauge.read() for gauge in gauges}
        return JSONResponse({"status": "ok", "release": telemetry.release, "pid": os.getpid(), "gauges": levels})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        limit = int(os.environ.get("SERVICE_OPEN_FILES", "0"))
        if limit:
            with suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        telemetry.emitter.start()
        publishing = asyncio.create_task(_publish(gauges, telemetry))
        yield
        publishing.cancel()
        await asyncio.to_thread(telemetry.emitter.stop)

    routes = [
        Route(f"/{component}", _endpoint(component, handler, telemetry), methods=["POST"])
        for component, handler in handlers.items()
    ]
    return Starlette(routes=[*routes, Route("/healthz", healthz)], lifespan=lifespan)
