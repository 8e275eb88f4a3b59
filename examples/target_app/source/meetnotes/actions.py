"""What was agreed in a meeting."""

from collections.abc import Mapping, Sequence

TEXT_LIMIT = 500
"""Characters of an action that mail clients show without folding it."""


def tidy(text: str) -> str:
    """One line without surplus blanks, cut at `TEXT_LIMIT`."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"


def action_items(items: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Actions of a meeting, in the order given, ready to be sent to their owners."""
    actions: list[dict[str, str]] = []
    for item in items:
        owner = item["owner"]
        due = item.get("due", "open")
        actions.append({"owner": owner, "text": tidy(item["text"]), "due": due})
    return actions
