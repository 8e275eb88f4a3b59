"""Calls the server's REST interface for the command line, and gives each failure its exit code."""

from collections.abc import Mapping
from typing import Any

OK = 0
NEGATIVE = 1
USAGE = 2
AUTH = 3
NOT_FOUND = 4
CONFLICT = 5
RATE_LIMITED = 6
UNAVAILABLE = 7
INTERRUPTED = 130

_EXIT_CODES = {400: USAGE, 401: AUTH, 403: AUTH, 404: NOT_FOUND, 409: CONFLICT, 422: USAGE, 429: RATE_LIMITED}
TIMEOUT_S = 30.0


class CallFailed(Exception):
    """The server refused, or did not answer."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Server:
    """A running server, reached with a key."""

    def __init__(self, url: str, key: str | None, *, transport: Any = None) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._transport = transport

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a resource. Raises CallFailed."""
        return self._call("GET", path, query={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a POST answers. Raises CallFailed."""
        return self._call("POST", path, body=body)

    def _call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with httpx2.Client(
                base_url=self.url, headers=headers, timeout=TIMEOUT_S, transport=self._transport, trust_env=False
            ) as client:
                answer = client.request(method, path, params=query, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CallFailed(
                f"no answer from {self.url} ({type(error).__name__}): is it running? Start it with './run up', "
                "or name it with --server",
                UNAVAILABLE,
            ) from error
        if answer.status_code >= 400:
            raise CallFailed(_message(answer), _EXIT_CODES.get(answer.status_code, UNAVAILABLE))
        try:
            return answer.json()
        except ValueError as error:
            raise CallFailed(f"{self.url} answered no JSON: is it the Self-Building Agent?", UNAVAILABLE) from error


def _message(answer: Any) -> str:
    try:
        text = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = f"HTTP {answer.status_code}"
    retry = answer.headers.get("Retry-After")
    return f"{text}; try again in {retry} s" if retry else text
