import re


def hide_mails(line):
    pattern = re.compile(r"[a-z0-9.+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
    return pattern.sub("<mail>", line)


def hide_cards(line):
    pattern = re.compile(r"\b(?:\d[ -]?){13,16}\b")
    return pattern.sub("<card>", line)


def hide_phones(line):
    pattern = re.compile(r"(?<!\w)\+\d{1,3}[ \d/-]{6,14}\d\b")
    return pattern.sub("<phone>", line)


def hide_name(line, name):
    return re.sub(r"\b" + re.escape(name) + r"(?:'s)?\b", "<name>", line, flags=re.IGNORECASE)
