"""What a meeting was about."""

from collections.abc import Iterable


def distinct_topics(words: Iterable[str]) -> list[str]:
    """Topics of a meeting, each once, in the order in which they first came up."""
    seen: list[str] = []
    for word in words:
        topic = word.strip().casefold()
        if topic and topic not in seen:
            seen.append(topic)
    return seen
