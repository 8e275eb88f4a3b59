"""Configures logging once a process: structlog and the standard library, to stderr, without secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from pydantic import SecretBytes, SecretStr

MAX_TEXT = 8000
"""Characters of one value that are kept: a stack trace fits, a dumped payload does not."""
HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(
    r"(^|_)(api_?key|access_?key|secret(_key)?|password|passwd|authorization|cookie|credentials?|token)$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{6,}"
    r"|\bsbk_[A-Za-z0-9_-]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"
)

Event = MutableMapping[str, Any]


def configure(level: str = "INFO", output: Literal["auto", "json", "console"] = "auto") -> None:
    """Send all logs of the process to stderr; `auto` is console on a terminal, else JSON.

    Running it again replaces what it did before.
    """
    as_json = output == "json" or (output == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _without_colours,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        tidy,
        structlog.processors.JSONRenderer(default=str) if as_json else structlog.dev.ConsoleRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    _quiet_libraries()


def tidy(_logger: Any, _method: str, event: Event) -> Event:
    """Hide secrets and cut long texts, at any depth."""
    for name in list(event):
        event[name] = HIDDEN if _SECRET_NAME.search(name) else _tidied(event[name])
    return event


def _without_colours(_logger: Any, _method: str, event: Event) -> Event:
    """Uvicorn adds its message a second time, with terminal codes."""
    event.pop("color_message", None)
    return event


def without_secrets(text: str) -> str:
    """The text with keys, bearer tokens and URL passwords hidden."""
    return _SECRET_TEXT.sub(HIDDEN, text)


def _tidied(value: Any) -> Any:
    if isinstance(value, SecretStr | SecretBytes):
        return HIDDEN
    if isinstance(value, str):
        text = without_secrets(value)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} characters cut)"
    if isinstance(value, dict):
        return {
            name: HIDDEN if isinstance(name, str) and _SECRET_NAME.search(name) else _tidied(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_tidied(inner) for inner in value]
    return value


def _quiet_libraries() -> None:
    """Libraries that log each request or put payloads, such as whole prompts, into their debug lines."""
    clients = ("botocore", "boto3", "urllib3", "httpx2", "httpcore2", "anthropic", "openai")
    for name in (*clients, "aiosqlite", "asyncio", "mcp"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
