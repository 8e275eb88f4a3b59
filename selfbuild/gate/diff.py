"""The stored and shown form of a patch: a unified diff computed from old and new text, never read from a generator."""

from collections.abc import Mapping
from difflib import SequenceMatcher, unified_diff


def unified(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Unified diff of the files in `new` against those in `old`, paths in order."""
    pieces: list[str] = []
    for path in sorted(new):
        before, after = lines_of(old.get(path, "")), lines_of(new[path])
        for line in unified_diff(before, after, f"a/{path}", f"b/{path}"):
            pieces.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(pieces)


def changed_lines(old: str, new: str) -> int:
    """Lines touched: a replaced line counts once, an added or a removed one too."""
    matcher = SequenceMatcher(None, lines_of(old), lines_of(new), autojunk=False)
    return sum(
        max(old_end - old_start, new_end - new_start)
        for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes()
        if kind != "equal"
    )


def lines_of(text: str) -> list[str]:
    """Lines with their ends, split at `\\n` only, as Python and git count them."""
    return [line for line in text.replace("\n", "\n\0").split("\0") if line]
