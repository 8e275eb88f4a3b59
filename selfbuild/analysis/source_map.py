"""Maps the frames of a traceback to files of the repository, whatever the place the release was installed at.

Never guesses: where two files would fit, or only a file name does, there is no location.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from selfbuild.analysis.fingerprint import cause_of
from selfbuild.analysis.tracebacks import StackFrame, parse_chains
from selfbuild.domain.base import CodeLocation

TextOf = Callable[[str], str | None]
"""The text of a file of the repository at the head, None where it cannot be read."""

_INSTALLED = re.compile(r"^.*/(?:site-packages|dist-packages)/")
_STANDARD_LIBRARY = re.compile(r"(?:^|/)lib/python[\d.]*/|python[\d.]*/lib/|python\d+\.zip/|^<", re.IGNORECASE)
_DRIVE = re.compile(r"^[A-Za-z]:")
_DEFINITION = re.compile(r"^(?P<indent>\s*)(?:async\s+)?(?:def|class)\s+(?P<name>\w+)")


def locate(paths: Iterable[str], where: str | StackFrame, *, text_of: TextOf | None = None) -> CodeLocation | None:
    """The place in the repository of a frame, or of the innermost frame of a traceback that lies in it.

    Args:
        paths: Files of the repository, relative to its root, with forward slashes.
        where: A frame, or the text of a Python traceback; of a chain the exception that caused the others is used.
        text_of: Where given, it settles which of several files is meant, and the line is that of the head.

    Returns:
        None where no file, or more than one, fits. Without a line where the head does not hold the source line.
    """
    known = tuple(paths)
    for frame in [where] if isinstance(where, StackFrame) else _frames(where):
        path = _file_of(known, frame, text_of)
        if path is not None:
            line = _line_of(path, frame, text_of)
            function = frame.function if frame.function.isidentifier() else None
            return CodeLocation(path=path, line=line, function=function)
    return None


def relocate(text: str, source_line: str, line: int, *, function: str | None = None) -> int | None:
    """The number of the line of a file that reads like `source_line`, the nearest to `line`.

    White space apart; within `function` where the file has such lines in it. None where the file has none: the head
    differs from the release.
    """
    wanted = " ".join(source_line.split())
    if not wanted:
        return None
    lines = text.splitlines()
    found = [number for number, each in enumerate(lines, start=1) if " ".join(each.split()) == wanted]
    within = [number for number in found if function and _enclosing(lines, number) == function]
    return min(within or found, key=lambda number: (abs(number - line), number), default=None)


def _frames(stack: str) -> Iterator[StackFrame]:
    """Frames of the causes, innermost first."""
    for chain in parse_chains(stack):
        cause = cause_of(chain)
        for raised in [cause] if cause is not None else reversed(chain):
            yield from reversed(raised.frames)


def _file_of(paths: tuple[str, ...], frame: StackFrame, text_of: TextOf | None) -> str | None:
    path = frame.path.replace("\\", "/")
    path = path[:-1] if path.endswith(".pyc") else path
    if _STANDARD_LIBRARY.search(path) and not _INSTALLED.match(path):
        return None
    fits = _longest_tails(paths, path)
    if text_of is None:
        return fits[0][0] if len(fits) == 1 and fits[0][1] else None
    confirmed = [each for each, sure in fits if _holds(text_of(each), frame, sure=sure)]
    return confirmed[0] if len(confirmed) == 1 else None


def _longest_tails(paths: tuple[str, ...], path: str) -> list[tuple[str, bool]]:
    """The files that share the longest end with the path, and whether that end says enough without their text."""
    fold = str.casefold if _DRIVE.match(path) else str
    installed = _INSTALLED.match(path) is not None
    wanted = [part for part in fold(_INSTALLED.sub("", path)).split("/") if part not in ("", ".")]
    longest, fits = 1, list[tuple[str, bool]]()
    for each in paths:
        parts = fold(each).split("/")
        common = _common_tail(parts, wanted)
        if common < longest or (installed and common < len(wanted)):
            continue
        if common > longest:
            longest, fits = common, []
        fits.append((each, common > 1 or common in (len(parts), len(wanted))))
    return fits


def _common_tail(first: list[str], second: list[str]) -> int:
    common = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        common += 1
    return common


def _holds(text: str | None, frame: StackFrame, *, sure: bool) -> bool:
    """Whether a file's text agrees with a frame; a file that cannot be read does where its path alone is enough."""
    if text is None:
        return sure
    if frame.source and relocate(text, frame.source, frame.line) is not None:
        return True
    if not frame.function.isidentifier():
        return sure
    return re.search(rf"^\s*(?:async\s+)?(?:def|class)\s+{re.escape(frame.function)}\b", text, re.MULTILINE) is not None


def _line_of(path: str, frame: StackFrame, text_of: TextOf | None) -> int | None:
    text = text_of(path) if text_of is not None else None
    if text is None:
        return frame.line
    if frame.source:
        return relocate(text, frame.source, frame.line, function=frame.function)
    return frame.line if frame.line <= text.count("\n") + 1 else None


def _enclosing(lines: list[str], number: int) -> str | None:
    """The function or class around a line, itself where it defines one."""
    own = lines[number - 1]
    defined = _DEFINITION.match(own)
    if defined is not None:
        return defined["name"]
    indent = len(own) - len(own.lstrip())
    for line in reversed(lines[: number - 1]):
        found = _DEFINITION.match(line)
        if found is not None and len(found["indent"]) < indent:
            return found["name"]
    return None
