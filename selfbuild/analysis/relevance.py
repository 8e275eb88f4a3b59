"""Which files of a repository an opportunity is about."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from selfbuild.domain.base import CodeLocation

MAX_SHOWN_FILES = 8
"""More context costs tokens and invites changes that have nothing to do with the insight."""


def rank_paths(texts: Mapping[str, str], *, component: str, location: CodeLocation | None) -> tuple[str, ...]:
    """Paths by relevance, best first: the named file, a file called like the component, then files that mention it.

    Files with no relation to the component are left out, unless nothing has one: then all are returned, shortest first.
    """
    word = re.compile(rf"\b{re.escape(component)}\b", re.IGNORECASE)

    def score(path: str) -> int:
        if location is not None and path == location.path:
            return 1_000_000
        named = PurePosixPath(path).stem.casefold() == component.casefold()
        return 1_000 * named + len(word.findall(texts[path]))

    ranked = sorted((path for path in texts if score(path) > 0), key=lambda path: (-score(path), path))
    return tuple(ranked) or tuple(sorted(texts, key=lambda path: (len(texts[path]), path)))
