"""CloudWatch Logs filter patterns: terms, and the choice between terms and JSON patterns."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

from localaws.errors import AwsError
from localaws.logs.json_patterns import compile_json_pattern

# The quota of PutMetricFilter and FilterLogEvents for the length of a pattern, in characters.
MAX_LENGTH = 1_024

_TERM = re.compile(r"\s*([?-]?)(\"(?:\\.|[^\"\\])*\"|%(?:\\.|[^%\\])+%|[^\s\"%]\S*)(?=\s|$)")

Test = Callable[[str], bool]


class Pattern:
    """A compiled filter pattern."""

    def __init__(self, *, on_text: Test | None = None, on_json: Callable[[Any], bool] | None = None) -> None:
        self._on_text = on_text
        self._on_json = on_json

    def matches(self, message: str) -> bool:
        """Whether a message matches; a JSON pattern never matches what is not a JSON object or array."""
        if self._on_text is not None:
            return self._on_text(message)
        document = parse_json(message)
        return document is not None and self._on_json is not None and self._on_json(document)


def parse_json(message: str) -> Any:
    """The JSON object or array in a message, or None."""
    if message.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(message)
    except ValueError:
        return None


@functools.lru_cache(maxsize=256)
def compile_pattern(source: str) -> Pattern:
    """Compiles a filter pattern; the empty pattern matches everything.

    Raises:
        AwsError: The pattern is malformed, or a space-delimited `[...]` pattern, which is not supported.
    """
    text = source.strip()
    if len(text) > MAX_LENGTH:
        raise _invalid(f"longer than {MAX_LENGTH} characters")
    if text in ("", '""'):
        return Pattern(on_text=lambda message: True)
    if text.startswith("["):
        raise _invalid("localaws does not support space-delimited [...] patterns")
    if text.startswith("{"):
        return Pattern(on_json=compile_json_pattern(text))
    return Pattern(on_text=_compile_terms(text))


def compile_regex(source: str) -> re.Pattern[str]:
    """Compiles the text between two percent signs."""
    try:
        return re.compile(source)
    except re.error as error:
        raise _invalid(f"bad regular expression {source!r}: {error}") from error


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {reason}")


def _compile_terms(text: str) -> Test:
    required: list[Test] = []
    optional: list[Test] = []
    excluded: list[Test] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise _invalid(f"cannot read {text[position:].strip()!r}")
        group = {"?": optional, "-": excluded}.get(found[1], required)
        group.append(_term(found[2]))
        position = found.end()
    if required:
        # CloudWatch ignores ?terms next to required ones.
        optional = []

    def matches(message: str) -> bool:
        return (
            all(test(message) for test in required)
            and not any(test(message) for test in excluded)
            and (not optional or any(test(message) for test in optional))
        )

    return matches


def _term(token: str) -> Test:
    if token.startswith("%"):
        regex = compile_regex(token[1:-1])
        return lambda message: regex.search(message) is not None
    wanted = re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token
    return lambda message: wanted in message
