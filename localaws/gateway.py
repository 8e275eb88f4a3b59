"""The WSGI edge: control paths, fault injection, the ledger, and every failure as an AWS error."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from werkzeug.wrappers import Response

from localaws.errors import AwsError, unsupported
from localaws.faults import FaultRule, Faults, fault_rule
from localaws.wire import Call, Environ, Reply, access_key_of, error_reply, identify

log = structlog.get_logger()

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Health = Callable[[], Mapping[str, Any]]
"""What `/_local/health` answers; its member `ok` decides between 200 and 503."""


class Gateway:
    """Stands in front of moto's application."""

    def __init__(self, application: Application, faults: Faults, health: Health) -> None:
        self._application = application
        self._faults = faults
        self._health = health

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_control = environ.get("PATH_INFO", "").startswith("/_local/")
        reply = self._control(environ) if is_control else self._serve(environ)
        headers = [item for item in reply.headers if item[0].lower() != "content-length"]
        if environ["REQUEST_METHOD"] == "HEAD":
            headers = reply.headers
        else:
            headers.append(("Content-Length", str(len(reply.body))))
        start_response(reply.status, headers)
        return [reply.body]

    def _serve(self, environ: Environ) -> Reply:
        started_s = time.perf_counter()
        call = identify(environ)
        fault = self._faults.take(call.service, call.operation, access_key_of(environ))
        entry: dict[str, Any] = {
            "at_s": time.time(),
            "service": call.service,
            "operation": call.operation,
            "status": None,
            "fault": _effect(fault),
        }
        self._faults.record(entry)
        reply = self._disturbed(environ, call, fault) if fault else self._forward(environ, call)
        entry["status"] = int(reply.status.split()[0])
        entry["duration_ms"] = round((time.perf_counter() - started_s) * 1000, 3)
        return reply

    def _disturbed(self, environ: Environ, call: Call, fault: FaultRule) -> Reply:
        if fault.latency_ms:
            time.sleep(fault.latency_ms / 1000)
        if fault.reset:
            _drop_connection(environ["werkzeug.socket"])
        error = fault.error()
        reply = self._forward(environ, call) if error is None else error_reply(call, error)
        if fault.truncate:
            return Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2])
        return reply

    def _forward(self, environ: Environ, call: Call) -> Reply:
        try:
            response = Response.from_app(self._application, environ, buffered=True)
        except AwsError as error:
            return error_reply(call, error)
        except NotImplementedError as error:
            detail = f" ({error})" if str(error) else ""
            return error_reply(call, unsupported(f"{call.service}:{call.operation}{detail}"))
        except Exception as error:
            # The edge of the server: moto's own faults must reach the client as an AWS error as well.
            log.exception("call.failed", service=call.service, operation=call.operation)
            message = f"{call.service}:{call.operation} failed in localaws: {type(error).__name__}: {error}"
            return error_reply(call, AwsError("InternalFailure", message, status=500))
        headers = [(name, value) for name, value in response.headers]
        return Reply(response.status, headers, response.get_data())

    def _control(self, environ: Environ) -> Reply:
        route = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/_local/")
        try:
            answer = self._answer(route, environ)
        except (AwsError, ValueError, TypeError) as error:
            return _json_reply("400 Bad Request", {"error": str(error)})
        if answer is None:
            return _json_reply("404 Not Found", {"error": f"no such control path: {' '.join(route)}"})
        if route[1] == "health" and not answer["ok"]:
            return _json_reply("503 Service Unavailable", answer)
        return _json_reply("200 OK", answer)

    def _answer(self, route: tuple[str, str], environ: Environ) -> Any:
        faults = self._faults
        if route == ("POST", "faults"):
            documents = _body(environ)
            rules = documents if isinstance(documents, list) else [documents]
            faults.replace_rules([fault_rule(rule) for rule in rules])
        elif route == ("DELETE", "faults"):
            faults.replace_rules([])
        elif route == ("POST", "quotas"):
            faults.replace_quotas(_body(environ))
        elif route == ("DELETE", "calls"):
            faults.forget_calls()
        elif route == ("GET", "health"):
            return self._health()
        elif route not in (("GET", "faults"), ("GET", "calls"), ("GET", "quotas")):
            return None
        listings: dict[str, Callable[[], Any]] = {
            "faults": faults.rules,
            "calls": faults.calls,
            "quotas": faults.quotas,
        }
        return listings[route[1]]()


def _effect(fault: FaultRule | None) -> str | None:
    if fault is None:
        return None
    names = ("reset", "truncate")
    effects = [fault.code or "", *(name for name in names if getattr(fault, name))]
    if fault.latency_ms:
        effects.append("latency")
    return "+".join(effect for effect in effects if effect)


def _drop_connection(connection: socket.socket) -> None:
    """Ends a connection with a reset.

    Without lingering the kernel sends RST in place of FIN when the server closes the socket, which it does once
    the end of input tells it that no further request follows.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    raise ConnectionResetError("dropped by a fault rule")


def _body(environ: Environ) -> Any:
    return json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _json_reply(status: str, answer: Any) -> Reply:
    return Reply(status, [("Content-Type", "application/json")], json.dumps(answer).encode())
