"""One JSON line for each request, in the CloudWatch embedded metric format."""

import json
import os
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse

from meetnotes.emitter import Emitter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
DIMENSION_SETS = [["component"], ["tenant_id", "component"], ["component", "release"]]
UNITS = {"ResponseLatency": "Milliseconds", "Requests": "Count", "Errors": "Count"}
METRICS = [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in UNITS.items()]
TENANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Answer = Callable[[dict[str, Any]], dict[str, Any]]
Endpoint = Callable[[Request], Awaitable[JSONResponse]]


@dataclass(frozen=True)
class Scope:
    """What every line of a process has in common."""

    release: str
    namespace: str


class BadRequest(ValueError):
    """The client's mistake: answered with 400 and not counted as an error of the service."""


def describe_error(error: Exception) -> dict[str, Any]:
    """Fields of a log line that say where in this repository an exception came from."""
    frames = list(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in frames if frame.filename.startswith(ROOT)]
    place = (own or frames)[-1]
    return {
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "file": place.filename.removeprefix(ROOT),
            "line": place.lineno,
            "function": place.name,
        },
        "stack": "".join(traceback.format_exception(error)).replace(f'"{ROOT}', '"'),
    }


def tenant_of(request: Request) -> str:
    """The tenant a request names; "unknown" for none or a name unfit for a dimension."""
    tenant_id = request.headers.get("x-tenant-id", "")
    return tenant_id if TENANT_ID.fullmatch(tenant_id) else "unknown"


async def _read(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def observed(component: str, answer: Answer, emitter: Emitter, scope: Scope) -> Endpoint:
    """Serve `answer`, 400 for a `BadRequest`, 500 for any other exception, and log each request."""

    async def serve(request: Request) -> JSONResponse:
        started = time.perf_counter()
        details: dict[str, Any] = {}
        try:
            response = JSONResponse(answer(await _read(request)))
        except BadRequest as error:
            response = JSONResponse({"error": str(error)}, 400)
        except Exception as error:  # noqa: BLE001 - the edge: a bug is logged, whatever it is
            response = JSONResponse({"error": "internal"}, 500)
            details = describe_error(error)
        details["ResponseLatency"] = round((time.perf_counter() - started) * 1000, 3)
        timestamp = int(time.time() * 1000)
        line = _line(component, request, response.status_code, timestamp, scope)
        emitter.put(timestamp, json.dumps(line | details))
        return response

    return serve


def _line(
    component: str, request: Request, status: int, timestamp: int, scope: Scope
) -> dict[str, Any]:
    metrics = {"Namespace": scope.namespace, "Dimensions": DIMENSION_SETS, "Metrics": METRICS}
    return {
        "_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [metrics]},
        "level": "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO",
        "message": f"{component} answered {status}",
        "component": component,
        "tenant_id": tenant_of(request),
        "release": scope.release,
        "request_id": request.headers.get("x-request-id", "")[:64] or uuid4().hex,
        "status": status,
        "Requests": 1,
        "Errors": int(status >= 500),
    }
