"""Characters of a patch: only plain ASCII or what the file has already, so that what is reviewed is what runs."""

import ast
import io
import re
import tokenize
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

_HIDING = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
"""Unicode categories that show nothing or reorder what is shown."""
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
_BOM = "\ufeff"


def summary_problem(summary: str) -> str | None:
    """Why the summary must not be shown to people, or None."""
    for character in summary:
        if character not in "\n\t" and unicodedata.category(character) in _HIDING:
            return f"the summary holds the hidden character U+{ord(character):04X}"
    return None


def character_problem(old: str, new: str) -> str | None:
    """Why the new text could be read otherwise than it runs, or None."""
    return _newlines(old, new) or _characters(old, new) or _cookie(old, new) or _identifiers(old, new)


def _newlines(old: str, new: str) -> str | None:
    if "\r" in new.replace("\r\n", "\n") and "\r" not in old.replace("\r\n", "\n"):
        return "a carriage return stands alone"
    if "\r" in new and "\r" not in old:
        return "carriage returns are new to the file"
    return None


def _characters(old: str, new: str) -> str | None:
    before, after = Counter(old.replace("\r\n", "\n")), Counter(new.replace("\r\n", "\n"))
    for character, count in after.items():
        if " " <= character <= "~" or character == "\n":
            continue
        if character == "\t" and before[character]:
            continue
        hiding = unicodedata.category(character) in _HIDING or (character.isspace() and character != "\t")
        if count > before[character] if hiding else not before[character]:
            return f"the character U+{ord(character):04X} is new to the file"
    return None


def _cookie(old: str, new: str) -> str | None:
    def cookies(text: str) -> list[str]:
        return _COOKIE.findall("\n".join(text.lstrip(_BOM).split("\n")[:2]))

    return "an encoding declaration is new to the file" if cookies(new) != cookies(old) else None


def _identifiers(old: str, new: str) -> str | None:
    known = set(_foreign_names(old))
    for name in _foreign_names(new):
        if name not in known:
            return f"the identifier {name!a} is not ASCII"
    return None


def _foreign_names(text: str) -> Iterator[str]:
    if text.isascii():
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                yield token.string
    except (tokenize.TokenError, SyntaxError):
        return


def hidden_in_strings(nodes: Iterable[ast.AST]) -> Counter[str]:
    """Hidden characters spelt as escapes in string literals, such as `"\\u202e"`; newline and tab are not."""
    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isprintable():
            for character in node.value:
                if character not in "\n\t\r" and unicodedata.category(character) in _HIDING:
                    found[f"U+{ord(character):04X}"] += 1
    return found
