import re

MENTION = re.compile(r"@(?P<name>[a-z0-9_]+)(?:#(?P<tag>\d{4}))?$", re.IGNORECASE)


def parse_mention(word):
    found = MENTION.match(word)
    return {"name": found.group("name").lower(), "tag": found.group("tag")}


def mentions(text):
    result = []
    for word in text.split():
        if word.startswith("@"):
            result.append(parse_mention(word))
    return result
