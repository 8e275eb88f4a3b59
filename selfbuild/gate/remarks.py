"""Comments and docstrings of a patch: those that silence a check, and those that talk to whoever judges it."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable

_SUPPRESSION = re.compile(
    r"noqa|nosec|type:\s*ignore|pragma|pylint:|mypy:|ruff:|flake8|pyright:|fmt:\s*off|isort:|nosemgrep|noinspection",
    re.IGNORECASE,
)
_PERSUASION = re.compile(
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instruction|prompt|rules?\b|polic|previous|finding|warning)"
    r"|\b(approved|reviewed|cleared|authori[sz]ed|signed off|verified|whitelisted) by\b"
    r"|\b(merge|deploy|approve|accept|ship|promote)\b.{0,40}\b(without|immediately|automatically|as is|unconditional)"
    r"|\b(do not|don't|must not|never|no need to) (flag|report|reject|block|review|refuse|re-?check|scan)\b"
    r"|\b(skip|bypass|disable|omit) (the |all |any |further |this )*(review|check|test|scan|gate|guard|validat|approv)"
    r"|\b(note to|dear|attention|message for|to the) (the |all |any |code |ai )*(reviewer|llm|model|assistant|judge)"
    r"|^\W*((ai|llm|code|security|automated) )?(reviewers?|system|assistant|user|ai|llm|human|judge|admin)\s*:"
    r"|\b(new|updated|real|hidden) instructions?\b|\b(guard|gate|check|scan|review)s? (is|are) (disabled|off|optional)"
    r"|\breviewing (assistant|model|agent|ai)\b|\b(output|answer|respond|reply)( with)? \W?(pass|approved?|safe|ok)\b"
    r"|\b(as an ai|language model|system prompt|jailbreak|maintenance mode|pre-?approved)\b"
    r"|\bmark (this|it|the) ?(\w+ )?(as )?(safe|approved|passed|benign)"
    r"|\bthis (patch|change|code|diff|edit) (is|was|has been) (\w+ )?(safe|approved|reviewed|verified|trusted|benign)",
    re.IGNORECASE | re.MULTILINE,
)
_KINDS = {
    "a comment that silences a check": _SUPPRESSION,
    "a comment that talks to whoever judges the change": _PERSUASION,
}


def remark_findings(old_text: str, new_text: str, documented: Iterable[ast.AST]) -> list[str]:
    """What the new text's comments have more of than the old one's; `documented` are nodes that may be docstrings."""
    found = list(_docstring_kinds(documented, old_text))
    fresh = _remarked_lines(new_text) - _remarked_lines(old_text)
    if any(pattern.search(line.partition("#")[2]) for line in fresh for pattern in _KINDS.values()):
        before, after = _comments(old_text), _comments(new_text)
        found += [kind for kind in _KINDS if after[kind] > before[kind]]
    return list(dict.fromkeys(found))


def _remarked_lines(text: str) -> Counter[str]:
    return Counter(line for line in text.split("\n") if "#" in line)


def _comments(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                found.update(kind for kind, pattern in _KINDS.items() if pattern.search(token.string.lstrip("# ")))
    except (tokenize.TokenError, SyntaxError):
        return found
    return found


def _docstring_kinds(nodes: Iterable[ast.AST], old_text: str) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            match = _PERSUASION.search(node.value.value)
            if match is not None and match[0] not in old_text:
                yield "a docstring that talks to whoever judges the change"
