"""OpenAI's chat completions: JSON and server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

from tests.servers.replies import Answer, Failure, Received

_STOP = {"end": "stop", "cut_off": "length", "refused": "content_filter"}

Body = dict[str, Any]


class OpenAiDialect:
    """`POST /v1/chat/completions`."""

    stream_type = "text/event-stream"
    request_id_header = "x-request-id"
    keep_alive = b": ping\n\n"

    def streams(self, received: Received) -> bool:
        return bool(received.body.get("stream"))

    def authorised(self, received: Received, key: str) -> bool:
        return received.headers.get("authorization") == f"Bearer {key}"

    def wrong_key(self, echo: str) -> Failure:
        message = f"Incorrect API key provided: {echo}"
        return Failure(401, "invalid_request_error", message=message, error_code="invalid_api_key")

    def whole(self, answer: Answer) -> bytes:
        message = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
        choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
        return json.dumps(_envelope(answer, "chat.completion", [choice]) | {"usage": _usage(answer)}).encode()

    def events(self, answer: Answer) -> Iterator[bytes]:
        yield _event(answer, {"role": "assistant", "content": ""}, None)
        for piece in answer.pieces():
            yield _event(answer, {"content": piece}, None)
        if answer.refusal is not None:
            yield _event(answer, {"refusal": answer.refusal}, None)
        yield _event(answer, {}, _finish(answer))
        yield _sse(_envelope(answer, "chat.completion.chunk", []) | {"usage": _usage(answer)})
        yield b"data: [DONE]\n\n"

    def error(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        if failure.error_type is None:
            return json.dumps({"detail": failure.message}).encode(), {}
        error = {
            "message": failure.message,
            "type": failure.error_type,
            "param": failure.param,
            "code": failure.error_code,
        }
        return json.dumps({"error": error}).encode(), {}

    def error_event(self, error_type: str) -> bytes:
        return _sse({"error": {"message": "made to fail", "type": error_type, "param": None, "code": None}})


def _finish(answer: Answer) -> str:
    return answer.stop_reason or _STOP[answer.stop]


def _usage(answer: Answer) -> Body:
    prompt_tokens = answer.input_tokens + answer.cache_read_tokens + answer.cache_write_tokens
    details = {"cached_tokens": answer.cache_read_tokens, "cache_write_tokens": answer.cache_write_tokens}
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": prompt_tokens + answer.output_tokens,
        "prompt_tokens_details": details,
    }


def _envelope(answer: Answer, kind: str, choices: list[Body]) -> Body:
    return {"id": "chatcmpl-test", "object": kind, "created": 1, "model": answer.model, "choices": choices}


def _event(answer: Answer, delta: Body, finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _sse(_envelope(answer, "chat.completion.chunk", [choice]))


def _sse(body: Body) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()
