"""Keys for stacks that are no Python tracebacks: JavaScript and the JVM, by type and first frame of the application."""

import re

MAX_LINES = 400

_AT = re.compile(r"^\s*at\s+(?P<text>\S.*)$")
_PLACE = re.compile(r"[\s(]*(?P<path>[^\s()]*?)(?::\d+){0,2}\)?$")
_TYPE = re.compile(
    r"(?:^|\s)(?:Uncaught\s+|Caused by:\s+)?(?P<type>(?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*"
    r"(?:Error|Exception|Throwable|Failure|Rejection|Warning))(?=:|\s|$)"
)
_LIBRARY = re.compile(
    r"node_modules/|\bnode:|^internal/|<anonymous>$|\b(?:java|javax|jdk|sun|kotlin|scala|org\.springframework|"
    r"org\.apache|io\.netty|jakarta|reactor)\.[\w$.]+\("
)
_GENERATED = re.compile(r"\$\$?Lambda\$?[\w/$]*|(?<=\$)\d+|0x[0-9a-fA-F]+|\d+")


def foreign_key(stack: str) -> tuple[str, str] | None:
    """Type and masked first frame of the innermost cause, without lines and columns; None for any other text.

    The innermost cause is the last `Caused by:`. Frames of the platform and of packages are passed over while others
    are left.
    """
    text = stack.replace("\\n", "\n").replace("\\t", "\t") if "\n" not in stack else stack
    error_type, first, first_own = "", "", ""
    for line in text.splitlines()[:MAX_LINES]:
        frame = _AT.match(line[:1000])
        if frame is None:
            found = _TYPE.search(line[:1000])
            if found is not None and (not first or "Caused by:" in line):
                error_type, first, first_own = found["type"], "", ""
            continue
        first = first or frame["text"]
        if not first_own and not _LIBRARY.search(frame["text"]):
            first_own = frame["text"]
    if not first:
        return None
    return error_type.rpartition(".")[2], _masked(first_own or first)


def _masked(frame: str) -> str:
    """A frame as its function and the name of its file."""
    function, _, rest = frame.partition("(")
    if not rest:
        function, rest = "", frame
    place = _PLACE.match(rest.strip())
    file = (place["path"] if place else "").replace("\\", "/").rpartition("/")[2]
    return _GENERATED.sub("#", f"{function.strip()}@{file}")
