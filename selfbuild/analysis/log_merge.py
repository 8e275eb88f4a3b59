"""Which words of a masked log line are values too: learned from how the lines seen so far differ from each other.

A rule once found stays, and rests on words seen, not on how often or in which order. Pure; memory is bounded by
`MAX_HOLES`: when it is reached, the rules found go on to apply and no new ones are learned.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from selfbuild.analysis.masks import WILDCARD

MAX_TOKENS = 120
"""Tokens of a line that are compared; what follows is the line's payload."""
MAX_REPEAT = 8
"""Longest run of tokens that counts as one element of a repeated list."""
MAX_HOLES = 400_000
"""Positions whose words are remembered: about 50 MB."""
_TOKEN = re.compile(r" ?(?:<\*>|[\w.$#@%&*+!?~^`-]+|[^ \w])")
_WORD = re.compile(r" ?(?:[A-Za-z]?[a-z]+|[A-Z]+)")
_OPEN = "\0"
_QUOTES = frozenset("'\"`")
_NAMED = frozenset({"user", "username", "host", "hostname", "file", "path", "directory", "interface", "device"})
"""After these nouns the name of one instance follows, ..."""
_STATE = re.compile(r"(?:ed|ing|s|is|not|has|was|unknown|to|by|from|for|in|at|on|of|and|or|name|id)$")
"""... unless it is what became of it."""

Tokens = tuple[str, ...]
"""Tokens of a masked line, each with the blank before it: joined they are the line."""


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """How many different words at one position make it a value.

    Each sits inside a plateau of the accuracy on seven systems, see benchmarks/log_grouping.py.
    """

    named: int = 2
    """Words after a noun that is followed by a name (`user`, `host`)."""
    values: int = 5
    """Words after `=`, in quotes, or shaped like an identifier (`a.b`, `a_b`, `aB`)."""
    words: int = 5
    """Plain words in the middle of a line."""
    leading: int = 12
    """Plain words at the start of a line, or where fewer than two other words say what the line is about."""


class _Hole(NamedTuple):
    key: int
    position: int
    limit: int


def tokens_of(text: str) -> Tokens:
    """The tokens of a masked line; repeated runs that hold a value (`a=<*> a=<*>`) are kept once."""
    kept: list[str] = []
    bare: list[str] = []
    for match in _TOKEN.finditer(text):
        kept.append(match[0])
        bare.append(match[0].lstrip(" "))
        surplus = _repeated(bare)
        if surplus:
            del kept[-surplus:], bare[-surplus:]
        if len(kept) == MAX_TOKENS:
            break
    return tuple(kept)


def _repeated(tokens: list[str]) -> int:
    """Length of the run at the end that only repeats the run before it; 0 without one."""
    last = tokens[-1]
    for length in range(1, min(MAX_REPEAT, len(tokens) // 2) + 1):
        if tokens[-1 - length] == last and tokens[-length:] == tokens[-2 * length : -length]:
            return length if WILDCARD in tokens[-length:] else 0
    return 0


@dataclass(slots=True)
class MergeRules:
    """The positions found to vary, and the words seen at those that may be."""

    limits: MergeLimits = field(default_factory=MergeLimits)
    version: int = 0
    """Grows when a rule is found: what was resolved before may have a more general form."""
    _seen: dict[int, str | set[str]] = field(default_factory=dict)
    _varies: set[int] = field(default_factory=set)

    def resolve(self, tokens: Tokens, *, learn: bool) -> Tokens:
        """The most general form of the tokens under the rules found so far."""
        while True:
            form = self._step(tokens, learn and len(self._seen) < MAX_HOLES)
            if form == tokens:
                return tokens
            tokens = form

    def _step(self, tokens: Tokens, learn: bool) -> Tokens:
        for hole in _holes(tokens, self.limits):
            if learn and hole.key not in self._varies:
                self._learn(hole, tokens[hole.position].lstrip(" "))
            if hole.key in self._varies and not tokens[hole.position].endswith(WILDCARD):
                return _generalised(tokens, hole.position)
        return tokens

    def _learn(self, hole: _Hole, word: str) -> None:
        seen = self._seen.get(hole.key)
        if seen is None:
            self._seen[hole.key] = word
            return
        words = {seen} if isinstance(seen, str) else seen
        words.add(word)
        if len(words) >= self._limit(hole, words):
            del self._seen[hole.key]
            self._varies.add(hole.key)
            self.version += 1
        elif len(words) > 1:
            self._seen[hole.key] = words

    def _limit(self, hole: _Hole, words: set[str]) -> int:
        """A position that held a value once holds values, where enough words say what the line is about."""
        return 2 if WILDCARD in words and hole.limit < self.limits.leading else hole.limit


def _generalised(tokens: Tokens, position: int) -> Tokens:
    blank = " " if tokens[position].startswith(" ") else ""
    return tokens_of("".join((*tokens[:position], blank, WILDCARD, *tokens[position + 1 :])))


def _holes(tokens: Tokens, limits: MergeLimits) -> Iterator[_Hole]:
    """The positions that may turn out to vary, each keyed by what stays the same around it."""
    soft = {position for position in range(len(tokens)) if _is_soft(tokens, position)}
    skeleton = hash(tuple(_OPEN if position in soft else token for position, token in enumerate(tokens)))
    words = {position for position, token in enumerate(tokens) if _WORD.fullmatch(token)}
    telling = sum(len(tokens[position].lstrip(" ")) > 1 for position in words)
    for position in sorted(soft):
        yield _Hole(hash((skeleton, position)), position, limits.values)
    for position, token in enumerate(tokens):
        if position in words and position not in soft:
            others = telling - (len(token.lstrip(" ")) > 1)
        elif token.endswith(WILDCARD):
            others = telling
        else:
            continue
        key = hash((*tokens[:position], _OPEN, *tokens[position + 1 :]))
        yield _Hole(key, position, _limit(tokens, position, others, limits))


def _is_soft(tokens: Tokens, position: int) -> bool:
    """A value already, or a token whose place (`a=x`, `'x'`) or shape (`a.b`, `aB`, `a_b`) is that of one."""
    token = tokens[position]
    if token.endswith(WILDCARD):
        return True
    if position == 0 or not any(character.isalpha() for character in token):
        return False
    before = tokens[position - 1].lstrip(" ")
    after = tokens[position + 1].lstrip(" ") if position + 1 < len(tokens) else ""
    if before == "=" or (before in _QUOTES and after == before):
        return True
    return after != "=" and _WORD.fullmatch(token) is None


def _limit(tokens: Tokens, position: int, others: int, limits: MergeLimits) -> int:
    if position and tokens[position - 1].lstrip(" ").lower() in _NAMED and not _STATE.search(tokens[position]):
        return limits.named
    return limits.leading if position == 0 or others < 2 else limits.words
