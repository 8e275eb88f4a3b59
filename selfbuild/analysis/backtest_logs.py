"""What the grouping makes of a recorded log: one row in, one row out, the same settings for every source."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from selfbuild.analysis.log_groups import MAX_SIGNATURES, LogGrouper
from selfbuild.analysis.masks import coarse

MESSAGE_KEYS = ("message", "msg", "event", "log")
"""Where a JSON line has its message; the first that is present counts."""
BATCH = 10_000


class LogRow(NamedTuple):
    """The group of one line."""

    line: int
    """Of the file it was read from, the first is 1."""
    group_id: str
    template: str


def backtest_logs(lines: Iterable[str], *, max_signatures: int = MAX_SIGNATURES) -> Iterator[LogRow]:
    """The group of each line of a text or JSON Lines file, after learning from all of them; an empty line is one too.

    A line that is a JSON object with a text in one of `MESSAGE_KEYS` is grouped by that text, any other as it stands.
    Lines are never joined: each line of a traceback in a text file has a group of its own, of its frame or its
    message; `backtest_tracebacks` is for whole ones.
    """
    grouper = LogGrouper(max_signatures=max_signatures)
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(coarse(message_of(line)), len(numbers)) for line in lines]
    texts = list(numbers)
    starts = range(0, len(texts), BATCH)
    for start in starts:
        grouper.group_coarse(texts[start : start + BATCH])
    groups = [group for start in starts for group in grouper.group_coarse(texts[start : start + BATCH])]
    for line, number in enumerate(rows, start=1):
        yield LogRow(line, *groups[number])


def message_of(line: str) -> str:
    """What a line says: the message of a JSON object, or the line itself."""
    text = line.strip()
    if not text.startswith("{"):
        return text
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    values = (record.get(key) for key in MESSAGE_KEYS)
    return next((value for value in values if isinstance(value, str)), text)
