"""boto3 clients as the agent uses them, and the translation of their errors into ours."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import structlog
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from selfbuild import __version__
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    SelfBuildError,
    Throttled,
    Unreachable,
)

THROTTLED_RETRY_S = 10.0
"""CloudWatch's quotas are per second; ten of them empty every bucket of boto3's own retries."""

_THROTTLE_CODES = frozenset(
    {
        "LimitExceededException",
        "LimitExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_ACCESS_CODES = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_PERMISSION_CODES = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_INVALID_CODES = frozenset(
    {
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        "InvalidParameterException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "InvalidNextToken",
        "MalformedQueryException",
        "MissingParameter",
        "MissingRequiredParameterException",
        "ValidationError",
        "ValidationException",
    }
)
_NOT_FOUND_CODES = frozenset({"ResourceNotFound", "ResourceNotFoundException"})


_log = structlog.get_logger()


def make_client(service: str, *, region: str, endpoint_url: str | None = None, read_timeout_s: float = 10) -> Any:
    """A client with short time-outs and few attempts: long retries belong to the workflow.

    Threads may share it. When its session has expired it reads the credentials anew, once a call.
    `endpoint_url` None = the service's own.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=3,
        read_timeout=read_timeout_s,
        max_pool_connections=50,
        user_agent_extra=f"self-building-agent/{__version__}",
    )

    def made() -> Any:
        # A new session each time: boto3's default one keeps the credentials that it found first.
        session = boto3.Session(region_name=region)
        return session.client(service, endpoint_url=endpoint_url, config=config)

    return RenewingClient(made)


class RenewingClient:
    """Stands for a boto3 client that `make` makes, and for its successor once the session has expired."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client = make()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        client = self._client
        attribute = getattr(client, name)
        if name not in client.meta.method_to_api_mapping:
            return attribute

        def call(**request: Any) -> Any:
            try:
                return attribute(**request)
            except ClientError as error:
                if _code_of(error) not in _EXPIRED_CODES:
                    raise
                return getattr(self._renewed(client), name)(**request)

        return call

    def _renewed(self, expired: Any) -> Any:
        """The successor of `expired`; threads that meet the same end make one together."""
        with self._lock:
            if self._client is expired:
                self._client = self._make()
                expired.close()
                _log.info("credentials.renewed", service=expired.meta.service_model.service_name)
            return self._client


class Calls:
    """The calls of one reading to one service: counted, their errors translated. Not shared between threads."""

    def __init__(self, client: Any, service: str) -> None:
        self._client = client
        self._service = service
        self.made = 0

    def ask(self, operation: str, *, expecting: str, **request: Any) -> dict[str, Any]:
        """The answer, which has the member `expecting`; a truncated one is asked for once more.

        Raises:
            As `translated_errors`; MalformedAnswer also for an answer without the member.
        """
        try:
            return self._ask(operation, expecting, request)
        except MalformedAnswer:
            return self._ask(operation, expecting, request)

    def _ask(self, operation: str, expecting: str, request: dict[str, Any]) -> dict[str, Any]:
        name = f"{self._service}:{operation}"
        self.made += 1
        with translated_errors(name):
            answer: dict[str, Any] = getattr(self._client, xform_name(operation))(**request)
        required(answer, expecting, operation=name)
        return answer

    def pages(self, operation: str, *, expecting: str, token: str, most: int, **request: Any) -> Iterator[Any]:
        """Answers of at most `most` pages; the last one has the member `token` where more would follow.

        Raises:
            As `ask`; MalformedAnswer when a page leads back to itself.
        """
        for _ in range(most):
            answer = self.ask(operation, expecting=expecting, **request)
            yield answer
            following = answer.get(token)
            if not following:
                return
            if following == request.get(token):
                raise MalformedAnswer(f"{self._service}:{operation}: a page leads back to itself")
            request[token] = following


@contextmanager
def translated_errors(operation: str) -> Iterator[None]:
    """Raise our errors for botocore's. Classified by code: CloudWatch throttles with HTTP 400."""
    try:
        yield
    except ClientError as error:
        raise _of_code(operation, error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise AccessDenied(f"{operation}: {error}: give the worker AWS credentials") from error
    except ParamValidationError as error:
        raise InvalidRequest(f"{operation}: {error}") from error
    except ResponseParserError as error:
        raise MalformedAnswer(f"{operation}: the answer could not be parsed: {error}") from error
    except BotoCoreError as error:
        raise Unreachable(f"{operation}: {type(error).__name__}: {error}") from error


def required(answer: Mapping[str, Any], key: str, *, operation: str) -> Any:
    """`answer[key]`.

    Raises:
        MalformedAnswer: it is missing: botocore reads a truncated body as an empty answer.
    """
    if key not in answer:
        raise MalformedAnswer(f"{operation}: the answer has no {key!r}: it was truncated or comes from something else")
    return answer[key]


def lacks_permission(error: SelfBuildError) -> bool:
    """Whether the credentials were good and only a permission was missing."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and _code_of(cause) in _PERMISSION_CODES


def _of_code(operation: str, error: ClientError) -> SelfBuildError:
    code = _code_of(error)
    message = str((error.response or {}).get("Error", {}).get("Message", ""))[:500]
    text = f"{operation}: {code}: {message}"
    if code in _THROTTLE_CODES:
        return Throttled(text, retry_after_s=THROTTLED_RETRY_S)
    if code in _EXPIRED_CODES:
        return AccessDenied(f"{text}: the session has expired: renew the credentials; the next call reads them")
    if code in _PERMISSION_CODES:
        return AccessDenied(f"{text}: grant the worker's role {operation}")
    if code in _ACCESS_CODES:
        return AccessDenied(f"{text}: correct the worker's credentials")
    if code in _INVALID_CODES:
        return InvalidRequest(text)
    if code in _NOT_FOUND_CODES:
        return NotFound(f"{text}: check the names in the application's telemetry settings")
    return Unreachable(text)


def _code_of(error: ClientError) -> str:
    return str((error.response or {}).get("Error", {}).get("Code", ""))
