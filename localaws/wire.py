"""Recognising AWS requests on the wire and writing errors in the protocol each of them speaks."""

import io
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import NotFound

from localaws.errors import AwsError

Environ = dict[str, Any]
Protocol = Literal["cbor", "json", "query", "rest-json", "rest-xml"]

_CREDENTIAL = re.compile(r"Credential=([^/,]+)/\d{8}/[^/,]*/([^/,]+)/aws4_request")
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/([^/]+)")
_SERVICES = {"monitoring": "cloudwatch"}
# Their models tell botocore to take the error code from a header of the older query protocol.
_QUERY_COMPATIBLE = frozenset({"cloudwatch", "sqs"})


@dataclass(frozen=True)
class Call:
    """Which operation of which service a request asks for."""

    service: str
    """The name boto3 has for it; empty for an unsigned request."""
    operation: str
    """Empty when it cannot be told."""
    protocol: Protocol


@dataclass(frozen=True)
class Reply:
    """A complete HTTP response."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def identify(environ: Environ) -> Call:
    """Reads the service and the operation of a WSGI request, leaving its body readable."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    signed = found[2] if found else ""
    service = _SERVICES.get(signed, signed)
    if cbor := _CBOR_PATH.fullmatch(environ.get("PATH_INFO", "")):
        return Call(service, cbor[1], "cbor")
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return Call(service, target.rpartition(".")[2], "json")
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        action = parse_qs(_peek(environ).decode("utf-8", "replace")).get("Action", [""])[0]
        if action:
            return Call(service, action, "query")
    return Call(service, _rest_operation(service, environ), "rest-xml" if service == "s3" else "rest-json")


def access_key_of(environ: Environ) -> str:
    """The access key id that a request is signed with; empty for an unsigned one."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def _peek(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _rest_operation(service: str, environ: Environ) -> str:
    if not service:
        return ""
    try:
        operation, _ = get_service_router(service).match(Request(environ.copy()))
    except (NotFound, NotImplementedError, FileNotFoundError):
        return ""
    return str(operation.name)


def error_reply(call: Call, error: AwsError) -> Reply:
    """An error as botocore expects it of the call's protocol."""
    request_id = str(uuid.uuid4())
    headers = [("x-amzn-requestid", request_id)]
    if call.protocol in ("cbor", "json", "rest-json"):
        headers.append(("x-amzn-errortype", error.code))
        if call.service in _QUERY_COMPATIBLE:
            fault = "Sender" if error.status < 500 else "Receiver"
            headers.append(("x-amzn-query-error", f"{error.code};{fault}"))
    if call.protocol == "cbor":
        headers += [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
        body = _cbor({"__type": error.code, "message": error.message})
    elif call.protocol in ("json", "rest-json"):
        headers.append(("Content-Type", "application/x-amz-json-1.1"))
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
    else:
        headers.append(("Content-Type", "text/xml"))
        body = _xml(call.protocol, error, request_id).encode()
    return Reply(f"{error.status} Refused", headers, body)


def _xml(protocol: Protocol, error: AwsError, request_id: str) -> str:
    code = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "rest-xml":
        return f"<Error>{code}<RequestId>{request_id}</RequestId></Error>"
    kind = "Sender" if error.status < 500 else "Receiver"
    return f"<ErrorResponse><Error><Type>{kind}</Type>{code}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"


def _cbor(members: dict[str, str]) -> bytes:
    """A CBOR map of texts (RFC 8949, major types 5 and 3)."""
    parts = [_cbor_head(5, len(members))]
    for text in (item for pair in members.items() for item in pair):
        encoded = text.encode()
        parts += [_cbor_head(3, len(encoded)), encoded]
    return b"".join(parts)


def _cbor_head(major: int, length: int) -> bytes:
    if length < 24:
        return bytes([major << 5 | length])
    if length < 256:
        return bytes([major << 5 | 24, length])
    return bytes([major << 5 | 25]) + min(length, 65_535).to_bytes(2)
