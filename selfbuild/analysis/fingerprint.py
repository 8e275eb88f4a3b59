"""The stable key of an error: equal for one cause over releases, hosts, install roots and shifted lines.

Pure text work; what it reads is untrusted and only ever compared, never executed.
"""

import re
from typing import NamedTuple

from selfbuild.domain.base import digest_of

IN_APP_FRAMES = 2
"""Frames that tell causes apart best: one confuses callers, three split one cause by its route
(912 labelled tracebacks of 19 bugs: pair F1 .86, .93 and .80 for one, two and three)."""
PATH_TAIL = 2
"""Segments of a path that survive a change of the install root."""
MAX_TEXT = 32_000
"""Characters read of a message or a stack; longer ones are cut at the front of the stack, the end of the message."""

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"), "<ip>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w/<])(?:/[\w.@%+~-]+){2,}/?"), "<path>"),
    (re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)(?=\W|$)", re.IGNORECASE), "<num>"),
    (re.compile(r"[^\s'\"()\[\]{},;:=<>|/\\]*\d[^\s'\"()\[\]{},;:=<>|/\\]*"), "<id>"),
)
"""Tried in this order; the last one takes every remaining token that holds a digit, up to the next delimiter."""

_LIBRARY = re.compile(r"(?:^|/)(?:site-packages|dist-packages)/|(?:^|/)lib/python[\d.]*/|^<")
_FRAME = re.compile(r'^\s*File "(?P<path>[^"\n]*)", line \d+(?:, in (?P<function>.+))?$')
_MARKER = re.compile(r"^\s*[\^~ ]+$")
_GROUP_PREFIX = re.compile(r"^\s*[|+]\s?-*\s?")
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::\s.*)?$")


class Frame(NamedTuple):
    """One frame of a traceback without what changes between releases."""

    module: str
    function: str
    source: str


class Raised(NamedTuple):
    """One exception of a chain with its in-application frames, outermost first."""

    error_type: str
    frames: tuple[Frame, ...]


def mask(message: str) -> str:
    """The message with everything that varies between events replaced by its kind: `<num>`, `<uuid>`, `<id>`...

    Masking what is masked changes nothing.
    """
    masked = " ".join(message[:MAX_TEXT].split())
    for pattern, kind in _MASKS:
        masked = pattern.sub(kind, masked)
    return masked


def parse_traceback(stack: str) -> tuple[Raised, ...]:
    """The exceptions of a Python traceback in the order they were raised; empty when the text is none."""
    chain: list[Raised] = []
    frames: list[Frame] = []
    lines = [_GROUP_PREFIX.sub("", line) for line in stack[-MAX_TEXT:].splitlines()]
    seen_frame = False
    for number, line in enumerate(lines):
        frame = _FRAME.match(line)
        if frame is not None:
            seen_frame = True
            if not _LIBRARY.search(frame["path"].replace("\\", "/")):
                frames.append(_frame(frame, lines[number + 1 : number + 2]))
            continue
        raised = _RAISED.match(line)
        if raised is not None and seen_frame:
            chain.append(Raised(_short_type(raised["type"]), tuple(frames)))
            frames, seen_frame = [], False
    return tuple(chain)


def fingerprint_of(error_type: str, message: str, stack: str | None) -> str:
    """16 hex digits that name the cause of an error.

    With a traceback: the type and the last two in-application frames (end of the path, function, source line)
    of every exception of the chain. Without one, or without a frame of the application: type and masked message.
    """
    parts: list[str] = []
    for raised in parse_traceback(stack or ""):
        if raised.frames:
            parts.append(raised.error_type)
            parts.extend("\x1e".join(frame) for frame in raised.frames[-IN_APP_FRAMES:])
    if parts:
        return digest_of("stack", *parts)[:16]
    return digest_of("message", _short_type(error_type), mask(message))[:16]


def _frame(match: re.Match[str], following: list[str]) -> Frame:
    source = following[0].strip() if following else ""
    if _FRAME.match(source) or _MARKER.match(source):
        source = ""
    path = match["path"].replace("\\", "/").split("/")
    return Frame("/".join(path[-PATH_TAIL:]), match["function"] or "", " ".join(source.split()))


def _short_type(name: str) -> str:
    return name.rpartition(".")[2]
