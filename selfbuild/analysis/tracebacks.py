"""Reads Python tracebacks out of log text, however the log carried them: flattened, prefixed, grouped or cut.

Pure text work; what it reads is untrusted and only ever compared, never executed.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

MAX_TEXT = 32_000
"""Characters read of a stack; longer ones are cut at the front, since the innermost frame comes last."""
MAX_LINE = 2_000
"""Characters read of one line."""
MAX_PREFIX = 200
"""Characters that a log may put in front of each line of a traceback."""
REPEATED = 3
"""Times that a frame stands in a stack before it counts as recursion: a traceback prints it three times at least."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FLATTENED = re.compile(r'(?:\\r)?\\n\s*File \\*"|#012\s*File "')
_ESCAPE = re.compile(r'\\(["\\nrt])|#012')
_ESCAPED = {"n": "\n", "r": "", "t": "\t", '"': '"', "\\": "\\"}
_INLINE_FRAME = re.compile(r'(?<!\s)\s+(File "[^"\n]*", line \d+(?:, in \S+)?)\s+')
_INLINE_RAISED = re.compile(
    r"(?<!\s)\s+((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Timeout)(?::\s|$))"
)
_PREFIXED = re.compile(
    r'^(?P<prefix>.*?)(?:(?:Exception Group )?Traceback \(most recent call last\):|  File "[^"]*", line \d)'
)
_DIGITS = re.compile(r"\d+")

_FRAME = re.compile(r'^(?P<indent>\s*)File "(?P<path>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_MARKER = re.compile(r"^[\^~\s]+$")
_REPETITION = re.compile(r"^\s*\[Previous line repeated (\d+) more times?\]$")
_SEPARATOR = re.compile(r"^\s*\+(?P<opens>-\+)?-{4,}(?P<number> (?:\d+|\.\.\.) -+)?$")
_MARGIN = re.compile(r"^\s*[|+] ?")
_RAISED = re.compile(r"^(?P<type>[A-Za-z_](?:\w|\.(?:<locals>\.)?(?=\w))*)(?::(?:\s(?P<message>.*))?)?$")
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
_LIBRARY = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages)/|(?:^|/)lib/python[\d.]*/|python[\d.]*/lib/|python\d+\.zip/"
    r"|^/opt/python/|^/var/(?:runtime|lang)/|^<",
    re.IGNORECASE,
)


class Link(StrEnum):
    """How an exception came out of the one before it."""

    CAUSE = "cause"
    CONTEXT = "context"


_LINKS = {
    "The above exception was the direct cause of the following exception:": Link.CAUSE,
    "During handling of the above exception, another exception occurred:": Link.CONTEXT,
}


class StackFrame(NamedTuple):
    """One frame as the traceback shows it, the path with forward slashes."""

    path: str
    line: int
    function: str
    """Without the module that Cython puts before it; empty for the place of a SyntaxError."""
    source: str
    """The first source line with single spaces; empty where the traceback has none."""
    in_app: bool


class RaisedError(NamedTuple):
    """One exception of a chain."""

    error_type: str
    """Without its module; empty where the end of the traceback is cut off."""
    message: str
    """Its first line."""
    frames: tuple[StackFrame, ...]
    """Outermost first."""
    link: Link | None = None
    """To the exception before it in the chain."""


Chain = tuple[RaisedError, ...]
"""Exceptions in the order they were raised; the last one is what was not handled."""


@lru_cache(maxsize=64)
def parse_chains(stack: str) -> tuple[Chain, ...]:
    """The chains of a Python traceback; empty when the text holds none.

    One chain, except for an exception group: then one for each exception in it that is no group itself.
    """
    if 'File "' not in stack and "File \\" not in stack:
        return ()
    reader = _Reader()
    lines = _lines(stack)
    for number, line in enumerate(lines):
        reader.read(line, lines[number + 1] if number + 1 < len(lines) else "")
    return reader.chains()


@lru_cache(maxsize=4096)
def is_library(path: str) -> bool:
    """Whether the path, with forward slashes, belongs to an installed package or to Python, not to the application."""
    return _LIBRARY.search(path) is not None


def repeated_frames(frames: tuple[StackFrame, ...]) -> tuple[StackFrame, ...]:
    """One frame for each place of the application at which the stack recurs, sorted by file and function."""
    counts: dict[tuple[str, str], int] = {}
    places: dict[tuple[str, str], StackFrame] = {}
    for frame in frames:
        if frame.in_app:
            key = (frame.path, frame.function)
            counts[key] = counts.get(key, 0) + 1
            places.setdefault(key, frame)
    return tuple(places[key] for key in sorted(places) if counts[key] >= REPEATED)


class _Reader:
    """Builds chains line by line."""

    def __init__(self) -> None:
        self._finished: list[tuple[bool, Chain]] = []
        self._chain: list[RaisedError] = []
        self._frames: list[StackFrame] = []
        self._link: Link | None = None
        self._expects_error = False
        self._in_group = False

    def read(self, line: str, following: str) -> None:
        """Take the next line; `following` is the one after it."""
        separator = _SEPARATOR.match(line) if "+-" in line else None
        if separator is not None:
            self._separate(opens=separator["opens"] is not None, numbered=separator["number"] is not None)
            return
        text = _MARGIN.sub("", line, count=1) if line.lstrip()[:1] in ("|", "+") else line
        if 'File "' in text and (frame := _FRAME.match(text)) is not None:
            self._add(frame, _MARGIN.sub("", following, count=1) if text is not line else following)
        elif text[:1].isspace():
            self._repeat(text)
        elif text in _LINKS:
            self._link = _LINKS[text]
        elif text.endswith("Traceback (most recent call last):"):
            self._expects_error, self._frames = True, []
        elif self._expects_error and (raised := _RAISED.match(text)) is not None:
            self._raise(raised["type"], raised["message"] or "")

    def chains(self) -> tuple[Chain, ...]:
        """What was read; an exception whose last line is missing has no type."""
        if self._frames:
            self._raise("", "")
        self._finish(is_group=False)
        leaves = [chain for is_leaf, chain in self._finished if is_leaf]
        return tuple(leaves) or tuple(chain for _, chain in self._finished)

    def _add(self, match: re.Match[str], following: str) -> None:
        path = match["path"].replace("\\", "/")
        function = match["function"] or ""
        if not function.startswith("<"):
            function = function.rpartition(".")[2]
        in_app = not is_library(path) and not self._belongs_to_library(path)
        frame = StackFrame(path, int(match["line"][:9]), function, _source(following, match["indent"]), in_app)
        outer = self._frames[-1] if self._frames else None
        if function in _COMPREHENSIONS and outer is not None and outer.path == path:
            # Python 3.12 and later run these within their function and show no frame of their own.
            self._frames[-1] = frame._replace(function=outer.function)
        else:
            self._frames.append(frame)
        self._expects_error = True

    def _belongs_to_library(self, path: str) -> bool:
        """Cython shows paths relative to where a package was built: below a library's frame they are that library's."""
        compiled = path.endswith((".pyx", ".pxd", ".pxi"))
        return compiled and not path.startswith("/") and bool(self._frames) and not self._frames[-1].in_app

    def _repeat(self, text: str) -> None:
        if self._frames and _REPETITION.match(text):
            self._frames.extend(self._frames[-1:] * REPEATED)

    def _raise(self, error_type: str, message: str) -> None:
        short = error_type.rpartition(".")[2]
        self._chain.append(RaisedError(short, message, tuple(self._frames), self._link if self._chain else None))
        self._frames, self._link, self._expects_error = [], None, False

    def _separate(self, *, opens: bool, numbered: bool) -> None:
        self._finish(is_group=opens)
        self._in_group = self._expects_error = numbered

    def _finish(self, *, is_group: bool) -> None:
        if self._chain:
            self._finished.append((self._in_group and not is_group, tuple(self._chain)))
        self._chain, self._frames, self._link = [], [], None


def _source(following: str, indent: str) -> str:
    """The source line below a frame, if the line that follows is one."""
    text = following.strip()
    if not text or _MARKER.match(text) or _FRAME.match(text) or _REPETITION.match(text):
        return ""
    indented = len(following) - len(following.lstrip()) > len(indent)
    if not indented and (indent or _RAISED.match(text)):
        return ""
    return " ".join(text.split())


def _lines(stack: str) -> list[str]:
    text = stack[-MAX_TEXT:]
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if ("\\n" in text or "#012" in text) and _FLATTENED.search(text):
        text = _ESCAPE.sub(lambda match: _ESCAPED[match[1]] if match[1] else "\n", text)
    lines = [line[:MAX_LINE] for line in text.splitlines()]
    if any(line.count('File "') > 1 for line in lines):
        lines = _unfolded(text)
    return _without_prefix(lines)


def _unfolded(text: str) -> list[str]:
    """Lines of a traceback whose line ends were replaced by spaces."""
    frames = _INLINE_FRAME.sub(r"\n  \1\n    ", text)
    return _INLINE_RAISED.sub(r"\n\1", frames).splitlines()


def _without_prefix(lines: list[str]) -> list[str]:
    """Lines without what the log puts before each: that of the first line of the traceback, numbers apart."""
    found = next((match for line in lines if (match := _PREFIXED.match(line)) is not None), None)
    if found is None or not found["prefix"].strip(" \t|+") or len(found["prefix"]) > MAX_PREFIX:
        return lines
    prefix = re.compile(_DIGITS.sub(r"\\d+", re.escape(found["prefix"])))
    return [line[match.end() :] if (match := prefix.match(line)) is not None else line for line in lines]
