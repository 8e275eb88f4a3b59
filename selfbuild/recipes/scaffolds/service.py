"""The skeleton of a service: a WSGI application of the standard library with health and one route a capability."""

from string import Template

from selfbuild.recipes.scaffolds.common import Parts, readme

_APP = Template('''\
"""The service $name: `GET /health`, and `POST /capabilities/NAME` with a JSON object as its arguments."""

import argparse
import json
from collections.abc import Iterable, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

from $package.capabilities import Answer, call, failure, health

MAX_BODY_BYTES = 1 << 20
PREFIX = "/capabilities/"
STATUS = {
    "not_implemented": "501 Not Implemented",
    "unknown_capability": "404 Not Found",
    "invalid_arguments": "400 Bad Request",
}


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The WSGI application."""
    status, answer = respond(environ)
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def respond(environ: dict[str, Any]) -> tuple[str, Answer]:
    """Status line and answer of a request."""
    path, method = str(environ.get("PATH_INFO", "")), environ.get("REQUEST_METHOD")
    if path == "/health":
        return ("200 OK", health()) if method == "GET" else _not_allowed("GET")
    if not path.startswith(PREFIX):
        return "404 Not Found", failure("not_found", f"there is nothing at {path}")
    if method != "POST":
        return _not_allowed("POST")
    return _capability(path.removeprefix(PREFIX), environ)


def _capability(name: str, environ: dict[str, Any]) -> tuple[str, Answer]:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return "413 Content Too Large", failure("too_large", f"at most {MAX_BODY_BYTES} bytes are read")
    try:
        arguments = json.loads(environ["wsgi.input"].read(int(length)) or b"{}")
    except ValueError:
        return "400 Bad Request", failure("invalid_json", "the body is no JSON")
    answer = call(name, arguments)
    return STATUS.get(answer.get("error", {}).get("code", ""), "200 OK"), answer


def _not_allowed(method: str) -> tuple[str, Answer]:
    return "405 Method Not Allowed", failure("method_not_allowed", f"use {method}")


class Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True


def serve(host: str = "127.0.0.1", port: int = 8000) -> WSGIServer:
    """A server that listens; the caller runs and closes it."""
    return make_server(host, port, application, server_class=Server)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    chosen = parser.parse_args(arguments)
    with serve(chosen.host, chosen.port) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    return 0
''')

_TESTS = Template('''"""The service: routes, statuses and bodies, in this process and once over HTTP."""

import io
import json
import threading
from http.client import HTTPConnection
from typing import Any

import pytest

from $package import app

FIRST = "$first"


def ask(method: str, path: str, body: bytes = b"", **environ: Any) -> tuple[str, Any]:
    seen: list[str] = []
    request = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    answer = b"".join(app.application(request, lambda status, headers: seen.append(status)))
    return seen[0], json.loads(answer)


def test_health_is_answered() -> None:
    status, answer = ask("GET", "/health")

    assert status == "200 OK"
    assert FIRST in answer["capabilities"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/health", b"", "405"),
        ("GET", f"/capabilities/{FIRST}", b"", "405"),
        ("GET", "/nothing", b"", "404"),
        ("POST", "/capabilities/no-such-thing", b"{}", "404"),
        ("POST", f"/capabilities/{FIRST}", b"{", "400"),
        ("POST", f"/capabilities/{FIRST}", b"[1]", "400"),
        ("POST", f"/capabilities/{FIRST}", b"{}", "501"),
    ],
)
def test_request_gets_its_status(method: str, path: str, body: bytes, code: str) -> None:
    status, answer = ask(method, path, body)

    assert status.split()[0] == code
    assert answer["ok"] is False


@pytest.mark.parametrize("length", ["many", str(app.MAX_BODY_BYTES + 1)])
def test_long_body_is_not_read(length: str) -> None:
    status, _ = ask("POST", f"/capabilities/{FIRST}", CONTENT_LENGTH=length)

    assert status.split()[0] == "413"


def test_server_answers_over_http() -> None:
    with app.serve(port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request("GET", "/health")
            answer = json.loads(connection.getresponse().read())
            connection.close()
        finally:
            server.shutdown()
            thread.join()

    assert answer["status"] == "incomplete"


def test_interrupt_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app.Server, "serve_forever", interrupt)

    assert app.main(["--port", "0"]) == 130


def test_server_that_is_shut_down_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.Server, "serve_forever", lambda _: None)

    assert app.main(["--port", "0"]) == 0
''')


def files(parts: Parts) -> dict[str, str]:
    """What a service has beside its capabilities."""
    first = next(iter(parts.capabilities))
    use = (
        f"```\npip install .\n{parts.name} --port 8000\ncurl http://127.0.0.1:8000/health\n"
        f"curl -X POST -d '{{}}' http://127.0.0.1:8000/capabilities/{first}\n```"
    )
    return {
        f"{parts.package}/app.py": _APP.substitute(package=parts.package, name=parts.name),
        f"tests/test_{parts.package}_app.py": _TESTS.substitute(package=parts.package, first=first),
        "README.md": readme(parts, use=use),
    }
