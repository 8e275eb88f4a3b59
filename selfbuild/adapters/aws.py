"""boto3 clients as the agent uses them, and the translation of their errors into ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
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
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
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


def make_client(service: str, *, region: str, endpoint_url: str | None = None) -> Any:
    """A client with short time-outs and few attempts: long retries belong to the workflow.

    Threads may share it. `endpoint_url` None = the service's own.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=3,
        read_timeout=10,
        max_pool_connections=50,
        user_agent_extra=f"self-building-agent/{__version__}",
    )
    return boto3.client(service, region_name=region, endpoint_url=endpoint_url, config=config)


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


def _of_code(operation: str, error: ClientError) -> SelfBuildError:
    details = (error.response or {}).get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))[:500]
    text = f"{operation}: {code}: {message}"
    if code in _THROTTLE_CODES:
        return Throttled(text, retry_after_s=THROTTLED_RETRY_S)
    if code in _EXPIRED_CODES:
        return AccessDenied(f"{text}: the session has expired: renew the credentials and restart the worker")
    if code in _ACCESS_CODES:
        return AccessDenied(f"{text}: grant the worker's role {operation}, or correct its credentials")
    if code in _INVALID_CODES:
        return InvalidRequest(text)
    if code in _NOT_FOUND_CODES:
        return NotFound(f"{text}: check the names in the application's telemetry settings")
    return Unreachable(text)
