"""Collects the tags of an upload."""


def normalise(tag):
    return tag.strip().lower().lstrip("#")


def unique_tags(documents):
    tags = []
    for document in documents:
        for raw in document["tags"]:
            tag = normalise(raw)
            if tag and tag not in tags:
                tags.append(tag)
    return tags


def longest(tags):
    return max(tags, key=len) if tags else None
