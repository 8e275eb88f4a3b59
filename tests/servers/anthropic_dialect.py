"""Anthropic's Messages protocol: JSON and server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

from tests.servers.replies import Answer, Failure, Received

_STOP = {"end": "end_turn", "cut_off": "max_tokens", "refused": "refusal"}

Event = dict[str, Any]


def message_of(answer: Answer) -> Event:
    """The message as the protocol has it."""
    details = {"type": "refusal", "category": None, "explanation": answer.refusal} if answer.refusal else None
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [] if answer.text is None else [{"type": "text", "text": answer.text}],
        "stop_reason": answer.stop_reason or _STOP[answer.stop],
        "stop_sequence": None,
        "stop_details": details,
        "usage": {
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "cache_read_input_tokens": answer.cache_read_tokens,
            "cache_creation_input_tokens": answer.cache_write_tokens,
        },
    }


def events_of(answer: Answer) -> Iterator[Event]:
    """The events of an answer, its text in pieces."""
    message = message_of(answer)
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    if answer.text is not None:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        for piece in answer.pieces():
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        yield {"type": "content_block_stop", "index": 0}
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": answer.output_tokens}}
    yield {"type": "message_stop"}


class AnthropicDialect:
    """`POST /v1/messages`."""

    stream_type = "text/event-stream"
    request_id_header = "request-id"
    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def streams(self, received: Received) -> bool:
        return bool(received.body.get("stream"))

    def authorised(self, received: Received, key: str) -> bool:
        return received.headers.get("authorization") == f"Bearer {key}"

    def wrong_key(self, echo: str) -> Failure:
        return Failure(401, "authentication_error", message=f"invalid key: {echo}")

    def whole(self, answer: Answer) -> bytes:
        return json.dumps(message_of(answer)).encode()

    def events(self, answer: Answer) -> Iterator[bytes]:
        return (_sse(event) for event in events_of(answer))

    def error(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        if failure.error_type is None:
            return json.dumps({"message": failure.message}).encode(), {}
        error: Event = {"type": failure.error_type, "message": failure.message}
        if failure.error_code is not None:
            error["details"] = {"error_code": failure.error_code}
        return json.dumps({"type": "error", "error": error, "request_id": "req_test"}).encode(), {}

    def error_event(self, error_type: str) -> bytes:
        return _sse({"type": "error", "error": {"type": error_type, "message": "made to fail"}})


def _sse(event: Event) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
