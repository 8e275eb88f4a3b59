"""The stable key of an error: equal for one cause over releases, hosts, install roots, routes and shifted lines.

Pure text work; what it reads is untrusted and only ever compared, never executed.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from selfbuild.analysis.foreign_stacks import foreign_key
from selfbuild.analysis.masks import mask
from selfbuild.analysis.tracebacks import Chain, Link, RaisedError, StackFrame, parse_chains, repeated_frames
from selfbuild.domain.base import digest_of

PATH_TAIL = 2
"""Segments of a path that frames show."""
MAX_CALLERS = 4
"""Callers looked at above the frame that raised; selections by a variable are followed that far."""

_STRING = re.compile(r"""[rbfuRBFU]{0,2}(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$))""")
_POSITIONAL_NUMBER = re.compile(r"[(,\[]\s*-?\d+\s*[),\]]")
_FORWARDS_ALL = re.compile(r"\w\s*\((?:[\w.]+\s*,\s*)*\*{1,2}\w+")
_QUOTED = re.compile(r"'([^'\n]{1,100})'")
_RAISES = re.compile(r"raise\b")
_ABANDONED = frozenset({"CancelledError"})
"""Types that only say that somebody else gave up waiting; where it struck is chance."""


class Frame(NamedTuple):
    """One frame of a traceback without what changes between releases."""

    module: str
    function: str
    source: str


class Raised(NamedTuple):
    """One exception of a chain with its in-application frames, outermost first."""

    error_type: str
    frames: tuple[Frame, ...]


def parse_traceback(stack: str) -> tuple[Raised, ...]:
    """The exceptions of a Python traceback in the order they were raised; empty when the text is none."""
    return tuple(
        Raised(raised.error_type, tuple(_frame(frame) for frame in raised.frames if frame.in_app))
        for chain in parse_chains(stack)
        for raised in chain
    )


def cause_of(chain: Chain) -> RaisedError | None:
    """The exception of a chain that a person would look at; None when none has a frame of the application.

    The first one raised, as far as each was raised from the one before it or translates it (`raise` in the function
    whose `try` caught it). An exception that came up while another was being handled stands for itself.
    """
    reached: list[RaisedError] = []
    for number in range(len(chain) - 1, -1, -1):
        raised = chain[number]
        reached.append(raised)
        if number == 0 or not (raised.link is Link.CAUSE or _translates(raised, chain[number - 1])):
            break
    within = [raised for raised in reached if any(frame.in_app for frame in raised.frames)]
    told = [raised for raised in within if raised.error_type not in _ABANDONED]
    return next(reversed(told or within), None)


def crash_frame(raised: RaisedError) -> StackFrame | None:
    """The innermost frame of the application."""
    return next((frame for frame in reversed(raised.frames) if frame.in_app), None)


def fingerprint_of(error_type: str, message: str, stack: str | None) -> str:
    """16 hex digits that name the cause of an error.

    With a Python traceback: the type and the innermost in-application frame (file, function, source line) of the
    exception that caused the others, its caller where that chose what was passed, and the type that reached the top.
    With a stack of another language: its type and first frame of the application. Without a stack, or without a frame
    of the application: type and masked message.
    """
    text = stack or ""
    chains = [_completed(chain, error_type, message) for chain in parse_chains(text)]
    keys = {key for chain in chains if (key := _key(chain)) is not None}
    if keys:
        return _digest("stack", *sorted(keys))
    foreign = None if chains else foreign_key(text)
    if foreign is not None:
        return _digest("foreign", *foreign)
    return _digest("message", _short_type(error_type), mask(message))


def _digest(*parts: str) -> str:
    """JSON may hold halves of surrogate pairs, which have no encoding."""
    return digest_of(*(part.encode("utf-8", "replace").decode() for part in parts))[:16]


def _completed(chain: Chain, error_type: str, message: str) -> Chain:
    """The chain with type and message at its end where the traceback lacks them, as Lambda writes it."""
    top = chain[-1]
    if top.error_type:
        return chain
    return (*chain[:-1], top._replace(error_type=_short_type(error_type), message=message))


def _key(chain: Chain) -> str | None:
    cause = cause_of(chain)
    if cause is None:
        return None
    kind, top = cause.error_type, chain[-1].error_type
    parts = [kind] if top == kind else [kind, top]
    recurring = repeated_frames(cause.frames) if kind == "RecursionError" else ()
    if recurring:
        parts.extend(f"{_file(frame)}:{frame.function}" for frame in recurring)
    else:
        parts.extend(_place(cause))
    return "\x1e".join(parts)


def _place(cause: RaisedError) -> list[str]:
    """The crash frame, what the message says in the words of its source line, and the callers that matter."""
    frames = [frame for frame in cause.frames if frame.in_app]
    crash = frames[-1]
    parts = [_file(crash), crash.function, crash.source]
    if cause.frames[-1].in_app and not _RAISES.match(crash.source):
        parts.extend(_spelled(cause.message, crash.source))
    stack = [frame for frame in frames[:-1] if not _FORWARDS_ALL.search(frame.source)] + [crash]
    blames_caller = _RAISES.match(crash.source) is not None or _STRING.search(crash.source) is None
    return parts + _callers(stack, blames_caller=blames_caller)


def _callers(stack: list[StackFrame], *, blames_caller: bool) -> list[str]:
    """The callers that tell causes apart, innermost first.

    A caller that passes a constant or a chosen element (`to_int(row["zip"])`) decides what went wrong. One that hands
    on its variables does so only for a crash that says nothing itself, and never where it is an entry point, such as
    a route: an error is the same by whichever route it is reached.
    """
    parts: list[str] = []
    for number in range(len(stack) - 2, max(-1, len(stack) - 2 - MAX_CALLERS), -1):
        caller, callee = stack[number], stack[number + 1]
        call = _call(caller.source, callee.function)
        if call is None:
            break
        if _STRING.search(call) or _POSITIONAL_NUMBER.search(call):
            return [*parts, _file(caller), caller.function, call]
        if "[" in call:
            parts += [_file(caller), caller.function, call]
            continue
        if blames_caller and not parts and not _is_entry(stack, number):
            parts += [_file(caller), caller.function]
        break
    return parts


def _is_entry(stack: list[StackFrame], number: int) -> bool:
    """Whether a function is called by a framework or a dispatcher, which does not spell its name."""
    if number == 0:
        return True
    source = stack[number - 1].source
    return bool(source) and _call(source, stack[number].function) is None


def _call(source: str, function: str) -> str | None:
    """The call of the function in a source line, from its name to its closing bracket.

    None when the line does not spell the name; the empty text when there is no line.
    """
    if not source:
        return ""
    found = _call_pattern(function).search(source.removeprefix(f"def {function}"))
    if found is None:
        return None
    text = found.string[found.start() :]
    return text[: _closing(_STRING.sub(lambda match: "s" * len(match[0]), text))]


@lru_cache(maxsize=1024)
def _call_pattern(function: str) -> re.Pattern[str]:
    name = r"[A-Z]\w*" if function == "__init__" else re.escape(function)
    return re.compile(rf"(?<!\w){name}\s*\(")


def _closing(text: str) -> int:
    """Where the first bracket that opens is closed; the length of the text if it never is."""
    depth = 0
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position + 1
    return len(text)


def _spelled(message: str, source: str) -> list[str]:
    """Names quoted by the message that stand in the source line: code, not data."""
    words = _QUOTED.findall(message.partition("Did you mean")[0])
    return [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", source)]


def _translates(raised: RaisedError, earlier: RaisedError) -> bool:
    """Whether an exception was raised on purpose in the function that caught the earlier one."""
    if raised.link is not Link.CONTEXT:
        return False
    crash, caught = crash_frame(raised), next((frame for frame in earlier.frames if frame.in_app), None)
    if crash is None or caught is None or not _RAISES.match(crash.source):
        return False
    return (crash.path, crash.function) == (caught.path, caught.function)


def _frame(frame: StackFrame) -> Frame:
    return Frame("/".join(frame.path.split("/")[-PATH_TAIL:]), frame.function, frame.source)


def _file(frame: StackFrame) -> str:
    """The end of the path that no install root reaches into: the file, with its folder for `__init__.py`."""
    tail = frame.path.split("/")[-2:]
    return "/".join(tail) if tail[-1].startswith("__") else tail[-1]


def _short_type(name: str) -> str:
    return name.rpartition(".")[2]
