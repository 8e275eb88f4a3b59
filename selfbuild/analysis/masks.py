"""What varies between two lines or messages of one kind, and how it is masked: the one home of these patterns.

Two granularities: `mask` names the kind of each value (`<num>`, `<uuid>`), for error messages; `coarse` and `refine`
write `<*>` for every value, for log lines. `COARSE` runs in Python and in the RE2 of a columnar store alike, hence
no look-around, no backreference, ASCII classes only. Pure text work on untrusted input; nothing is executed.
"""

import re

WILDCARD = "<*>"
"""Stands for a value that varies."""
MAX_MESSAGE = 32_000
"""Characters of an error message that are read."""
MAX_LINE = 4_000
"""Characters of a log line that are read: lines beyond it differ in their payload, not in their template."""
MASK_ROUNDS = 4
"""Rounds after which `mask` stops looking for values that only the masking of others has laid open."""

_SPACE = r"\t-\r "
_DELIMITERS = _SPACE + r"'\"()\[\]{},;:=<>|/\\"
COARSE = rf"[^{_DELIMITERS}0-9@]*[0-9@][^{_DELIMITERS}]*"
"""A token between delimiters that holds a digit or an @: `blk_-16`, `10.0.0.7`, `ann@example.com`, `#3`."""
_AT_START = rf"(?<![^{_DELIMITERS}])"
"""Matches nothing else than without it, but keeps Python's search linear in a long token without a digit."""
_COARSE = re.compile(_AT_START + COARSE)

_PATH_CHARACTER = r"[A-Za-z0-9_.@%+~*$<>!&?#-]"
_VALUE = r"<\*>"
_REFINEMENTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"[{_SPACE}]+"), " "),
    (
        re.compile(
            rf"\b[A-Za-z][A-Za-z+.-]{{1,20}}://(?:{_VALUE}|[^{_SPACE}'\"<>()\[\]{{}},;|])+",
            re.ASCII,
        ),
        WILDCARD,
    ),
    (
        re.compile(
            r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? )?"
            rf"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{{0,6}}\.? {_VALUE}",
            re.ASCII,
        ),
        WILDCARD,
    ),
    (
        re.compile(
            rf"(^|[ '\"(\[{{=,;:|>])(?:[A-Za-z]:)?[/\\](?:{_PATH_CHARACTER}*[/\\])*{_PATH_CHARACTER}*"
            rf"(?::{_PATH_CHARACTER}+[/\\][^ ,;)\]]*)?"
        ),
        r"\1" + WILDCARD,
    ),
    (re.compile(rf"(?:(?:[0-9A-Fa-f]{{2}}|{_VALUE})[:-]){{5}}(?:[0-9A-Fa-f]{{2}}|{_VALUE})"), WILDCARD),
    (re.compile(rf"\b[A-Za-z][A-Za-z_-]{{0,62}}(?:\.[A-Za-z_-]{{1,63}}){{1,8}}:{_VALUE}", re.ASCII), WILDCARD),
    (re.compile(r"(^| )\(\)(?= |$)"), rf"\1({WILDCARD})"),
    (re.compile(r"(^| )\[\](?= |$)"), rf"\1[{WILDCARD}]"),
    (re.compile(rf"<{_VALUE}>?"), WILDCARD),
    (re.compile(r"\b(?:true|false|True|False|TRUE|FALSE|null|None|NULL|nil|undefined|NaN)\b", re.ASCII), WILDCARD),
    (re.compile(rf"{_VALUE}(?:[:/.+-]+{_VALUE})+"), WILDCARD),
    (re.compile(rf"{_VALUE} ?(?:[KMGTP]i?B|[kmg]b|B)\b", re.ASCII), WILDCARD),
)
"""Tried in this order on what `coarse` left: URLs, dates in words, paths, hardware addresses, host:port, an empty pair
of brackets (an empty value), comparisons, words for a truth value or nothing, compounds of values, sizes."""


def coarse(line: str) -> str:
    """The line, cut to `MAX_LINE`, with each token that holds a digit or an @ replaced by `<*>`.

    One pass; a columnar store gives the same text with `regexp_replace(left(line, MAX_LINE), COARSE, '<*>', 'g')`.
    """
    return _COARSE.sub(WILDCARD, line[:MAX_LINE])


def refine(coarse_line: str) -> str:
    """What `coarse` made, with values that have no digit masked too (URLs, paths, dates...), blanks made one."""
    text = coarse_line
    for pattern, value in _REFINEMENTS:
        text = pattern.sub(value, text)
    return text.strip()


_IDENTIFIER = rf"[^{_DELIMITERS}\d]*\d[^{_DELIMITERS}]*"
_NUMBER = re.compile(r"(\W*?)[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(\W*)")
_KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"\b[A-Za-z][A-Za-z0-9+.-]{{1,20}}://[^{_SPACE}'\"<>]+", re.ASCII), "<url>"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "<email>"),
    (re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b"), "<uuid>"),
    (
        re.compile(
            r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}"
            r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
        ),
        "<time>",
    ),
    (re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?"), "<time>"),
    (re.compile(r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]{1,5})?\b"), "<ip>"),
    (re.compile(r"\b0[xX][0-9A-Fa-f]+\b"), "<hex>"),
    (re.compile(r"(^|[^\w/<>])(?:/[\w.@%+~-]+){2,}/?"), r"\1<path>"),
)
_LAST = re.compile(_AT_START + _IDENTIFIER)


def mask(text: str) -> str:
    """The message with everything that varies between events replaced by its kind: `<num>`, `<uuid>`, `<id>`...

    Masking what is masked changes nothing. Blanks become one; a number keeps the signs around it (`<num>%`).
    """
    masked = " ".join(text[:MAX_MESSAGE].split())
    for _ in range(MASK_ROUNDS):
        before = masked
        for pattern, kind in _KINDS:
            masked = pattern.sub(kind, masked)
        masked = _LAST.sub(_kind_of_token, masked)
        if masked == before:
            break
    return masked


def _kind_of_token(match: re.Match[str]) -> str:
    number = _NUMBER.fullmatch(match[0])
    return "<id>" if number is None else f"{number[1]}<num>{number[2]}"
