"""Logs are JSON lines on stderr, without secrets and without endless texts."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from selfbuild.log import HIDDEN, MAX_TEXT, configure


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_event_and_fields_are_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")

    structlog.get_logger().info("window.collected", samples=3)

    found = logged(capsys)
    assert (found["event"], found["samples"], found["level"]) == ("window.collected", 3, "info")
    assert found["timestamp"].endswith("Z")


def test_standard_library_goes_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")

    logging.getLogger("some.library").warning("took %d s", 5, extra={"step": "collect"})

    found = logged(capsys)
    assert (found["event"], found["step"], found["logger"]) == ("took 5 s", "collect", "some.library")


@pytest.mark.parametrize("sdk", ["anthropic", "openai", "botocore", "httpx2"])
def test_requests_in_debug_lines_of_an_sdk_are_never_written(sdk: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "json")

    logging.getLogger(f"{sdk}._base_client").debug("Request options: %s", {"prompt": "the code of a customer"})

    assert capsys.readouterr().err == ""


def test_below_the_level_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("WARNING", "json")

    structlog.get_logger().info("window.collected")
    logging.getLogger("x").info("nothing")

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"api_key": "hunter22"}, id="name"),
        pytest.param({"headers": {"Authorization": "hunter22"}}, id="nested-name"),
        pytest.param({"value": SecretStr("hunter22")}, id="secret-type"),
        pytest.param({"text": "Authorization: Bearer hunter22"}, id="bearer"),
        pytest.param({"text": "key sbk_abc_hunter22 given"}, id="own-key"),
        pytest.param({"items": ["postgresql://me:hunter22@host/db"]}, id="url-password"),
    ],
)
def test_secrets_are_hidden(capsys: pytest.CaptureFixture[str], fields: dict[str, Any]) -> None:
    configure("INFO", "json")

    structlog.get_logger().info("call.made", **fields)

    text = capsys.readouterr().err
    assert HIDDEN in text
    assert "hunter22" not in text


def test_names_that_only_sound_secret_stay(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")

    structlog.get_logger().info("call.made", input_tokens=7, application_key="acme/meetnotes")

    found = logged(capsys)
    assert (found["input_tokens"], found["application_key"]) == (7, "acme/meetnotes")


def test_long_error_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")

    try:
        raise ValueError("x" * 20_000)
    except ValueError:
        structlog.get_logger().exception("step.failed")

    text = logged(capsys)["exception"]
    assert "ValueError" in text
    assert len(text) < MAX_TEXT + 100


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")
    configure("INFO", "json")

    structlog.get_logger().info("window.collected")

    assert logged(capsys)["event"] == "window.collected"


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "console")

    structlog.get_logger().info("window.collected", samples=3)

    text = capsys.readouterr().err
    assert "window.collected" in text
    assert not text.startswith("{")
