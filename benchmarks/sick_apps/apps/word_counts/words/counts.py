import string

STOP = {"the", "a", "of", "and", "to", "in"}


def split(text):
    table = str.maketrans("", "", string.punctuation)
    return [w for w in text.translate(table).lower().split() if w not in STOP]


def counts(words):
    table = {}
    for word in words:
        table[word] = words.count(word)
    return table


def top(table, number):
    return sorted(table.items(), key=lambda item: (-item[1], item[0]))[:number]
