"""Bedrock's protocol for Claude models: `invoke`, and `invoke-with-response-stream` in AWS event stream frames."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from tests.servers.anthropic_dialect import events_of, message_of
from tests.servers.replies import Answer, Failure, Received

_STRING = 7
"""Type of a header's value in a frame."""
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/(?P<scope>[^,]+), SignedHeaders=(?P<names>[^,]+), Signature=(?P<sum>\w+)"
)


class BedrockDialect:
    """`POST /model/{id}/invoke` and `POST /model/{id}/invoke-with-response-stream`."""

    stream_type = "application/vnd.amazon.eventstream"
    request_id_header = "x-amzn-requestid"

    def __init__(self) -> None:
        self.keep_alive = _chunk({"type": "ping"})

    def streams(self, received: Received) -> bool:
        return received.path.endswith("/invoke-with-response-stream")

    def authorised(self, received: Received, key: str) -> bool:
        """By bearer token, or by a signature that was made with the secret key."""
        authorization = received.headers.get("authorization", "")
        return authorization == f"Bearer {key}" or _signed_with(received, key)

    def wrong_key(self, echo: str) -> Failure:
        return Failure(403, "InvalidSignatureException", message=f"the signature does not match: {echo}")

    def whole(self, answer: Answer) -> bytes:
        return json.dumps(message_of(answer)).encode()

    def events(self, answer: Answer) -> Iterator[bytes]:
        return (_chunk(event) for event in events_of(answer))

    def error(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        named = {"x-amzn-ErrorType": f"{failure.error_type}:http://internal/"} if failure.error_type else {}
        return json.dumps({"message": failure.message}).encode(), named

    def error_event(self, error_type: str) -> bytes:
        headers = {":message-type": "exception", ":exception-type": error_type, ":content-type": "application/json"}
        return _frame(headers, b'{"message": "made to fail"}')


def _chunk(event: Mapping[str, object]) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}
    headers = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
    return _frame(headers, json.dumps(payload).encode())


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Lengths, their CRC, headers, payload, the CRC of it all."""
    fields = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(fields) + len(payload), len(fields))
    body = prelude + struct.pack("!I", binascii.crc32(prelude)) + fields + payload
    return body + struct.pack("!I", binascii.crc32(body))


def _signed_with(received: Received, secret: str) -> bool:
    """Whether the signature (version 4) of the request is right, computed from the request as it arrived."""
    found = _SIGNATURE.fullmatch(received.headers.get("authorization", ""))
    if found is None:
        return False
    names = found["names"].split(";")
    canonical = "\n".join(
        (
            received.method,
            quote(received.path, safe="/~"),
            "",
            *(f"{name}:{' '.join(received.headers[name].split())}" for name in names),
            "",
            found["names"],
            hashlib.sha256(received.content).hexdigest(),
        )
    )
    to_sign = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            received.headers["x-amz-date"],
            found["scope"],
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret}".encode()
    for part in (*found["scope"].split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(key.hex(), found["sum"])
