"""What the local model server can be told to answer, in words that fit all its protocols."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

PIECE_CHARS = 40
"""Of the text, in each event of a stream."""


@dataclass(frozen=True)
class Answer:
    """A message. `text` None makes one without content."""

    text: str | None
    stop: Literal["end", "cut_off", "refused"] = "end"
    stop_reason: str | None = None
    """The protocol's own word, in place of `stop`."""
    model: str = "model-test"
    input_tokens: int = 1000
    """Neither read from the cache nor written to it."""
    output_tokens: int = 200
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    refusal: str | None = None
    """Why it was refused, where the protocol has a place for it."""

    def pieces(self) -> Iterator[str]:
        """The text as a stream has it."""
        text = self.text or ""
        return (text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))


@dataclass(frozen=True)
class Failure:
    """An error of the protocol with its status."""

    status: int
    error_type: str | None = None
    """The protocol's own word; None makes an error such as another server would give."""
    message: str = "made to fail"
    error_code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Any body with any status, as a proxy would send it."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True)
class Stall:
    """Begin an answer and never go on, or `trickling`, go on for ever with nothing that matters."""

    trickling: bool = False


@dataclass(frozen=True)
class Reset:
    """Reset the connection; `midway` after the beginning of an answer."""

    midway: bool = False


@dataclass(frozen=True)
class Close:
    """Close the connection properly after the beginning of an answer."""


@dataclass(frozen=True)
class FailInStream:
    """Status 200, the beginning of a stream, then an error: for requests that ask for a stream."""

    error_type: str


Reply = Answer | Failure | Raw | Stall | Reset | Close | FailInStream


@dataclass(frozen=True)
class Received:
    """A request as it came in; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The content, read."""
        loaded: dict[str, Any] = json.loads(self.content or b"{}")
        return loaded


class Dialect(Protocol):
    """How one protocol says it."""

    stream_type: str
    request_id_header: str
    keep_alive: bytes

    def streams(self, received: Received) -> bool:
        """Whether the request asks for a stream."""
        ...

    def authorised(self, received: Received, key: str) -> bool:
        """Whether the request was made with the key."""
        ...

    def wrong_key(self, echo: str) -> Failure:
        """What a wrong key is told, with what the server saw of it."""
        ...

    def whole(self, answer: Answer) -> bytes:
        """The body of an answer in one piece."""
        ...

    def events(self, answer: Answer) -> Iterator[bytes]:
        """The answer as a stream."""
        ...

    def error(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        """Body and headers."""
        ...

    def error_event(self, error_type: str) -> bytes:
        """An error in the middle of a stream."""
        ...
