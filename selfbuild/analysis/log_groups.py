"""Log lines grouped by template, as a person would, with one configuration for every source.

A line is masked (`selfbuild.analysis.masks`), then words found to vary between lines are masked as well
(`selfbuild.analysis.log_merge`). The group id is a digest of the template: equal in every run and on every machine.

A template that generalises later ("for user root" becomes "for user <*>") has a new id; the old one is kept as an
alias, and `LogGrouper.current_id` leads from it to the new one. Pure; memory is bounded.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from selfbuild.analysis.log_merge import MergeLimits, MergeRules, tokens_of
from selfbuild.analysis.masks import coarse, refine
from selfbuild.domain.base import digest_of

MAX_SIGNATURES = 10_000
"""Different masked lines that are remembered and learned from; later ones are grouped by the rules found so far."""
MAX_REMEMBERED_LINES = 40_000
"""Coarse lines whose group is remembered, so that a line like an earlier one costs one look-up."""
MAX_ALIASES = 20_000
SETTLE_ROUNDS = 8
"""Rounds of resolving: one rule may lay open another; three rounds were the most seen."""
STATE_VERSION = 1


class GroupedLine(NamedTuple):
    """The group a line belongs to."""

    group_id: str
    """16 hex digits, a digest of the template."""
    template: str
    """The line with `<*>` in place of what varies."""


def group_of(template: str) -> GroupedLine:
    """The group of a template; half a surrogate pair, which no file can hold, becomes a question mark."""
    text = template.encode(errors="replace").decode()
    return GroupedLine(digest_of("log", text)[:16], text)


class LogGrouper:
    """Groups lines given in batches or one by one, and learns from them.

    A batch is learned as a whole before it is answered, so the lines of one batch share the most general templates.
    Which lines came first does not matter to the templates reached, only to how early they are reached.
    """

    def __init__(self, *, limits: MergeLimits | None = None, max_signatures: int = MAX_SIGNATURES) -> None:
        self._rules = MergeRules(limits=limits or MergeLimits())
        self._max_signatures = max_signatures
        self._groups: dict[str, GroupedLine] = {}
        self._by_coarse: dict[str, str] = {}
        self._aliases: dict[str, str] = {}

    def group(self, line: str) -> GroupedLine:
        """The group of one line."""
        return self.group_coarse((coarse(line),))[0]

    def group_batch(self, lines: Iterable[str]) -> list[GroupedLine]:
        """The group of each line, in their order, after learning from all of them."""
        return self.group_coarse([coarse(line) for line in lines])

    def group_coarse(self, coarse_lines: Sequence[str]) -> list[GroupedLine]:
        """As `group_batch`, for lines that `masks.coarse` (or a store with the same pattern) has been over."""
        if len(self._by_coarse) > MAX_REMEMBERED_LINES:
            self._by_coarse.clear()
        signatures = [self._signature(line) for line in coarse_lines]
        unknown = [signature for signature in dict.fromkeys(signatures) if signature not in self._groups]
        if unknown:
            room = max(0, self._max_signatures - len(self._groups))
            self._learn(unknown[:room])
        overflow = {signature: self._resolve(signature) for signature in unknown if signature not in self._groups}
        return [self._groups.get(signature) or overflow[signature] for signature in signatures]

    def current_id(self, group_id: str) -> str:
        """The id that lines of this group have now; the id itself when it is current or unknown."""
        for _ in range(len(self._aliases)):
            following = self._aliases.get(group_id)
            if following is None:
                break
            group_id = following
        return group_id

    def templates(self) -> tuple[GroupedLine, ...]:
        """The groups known, in the order of their templates."""
        return tuple(sorted(set(self._groups.values()), key=lambda group: group.template))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs to go on with the same groups: plain JSON values, a few MB at most."""
        return {
            "version": STATE_VERSION,
            "signatures": sorted(self._groups),
            "templates": [group.template for group in self.templates()],
            "aliases": dict(sorted(self._aliases.items())),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], *, limits: MergeLimits | None = None, max_signatures: int = MAX_SIGNATURES
    ) -> "LogGrouper":
        """The grouper that `state` was taken from.

        Raises:
            ValueError: The state is of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"log group state of version {state.get('version')!r}: this release reads {STATE_VERSION}")
        grouper = cls(limits=limits, max_signatures=max_signatures)
        grouper._learn([str(signature) for signature in state["signatures"]][:max_signatures])
        grouper._aliases = {str(old): str(new) for old, new in state["aliases"].items()}
        return grouper

    def _signature(self, coarse_line: str) -> str:
        signature = self._by_coarse.get(coarse_line)
        if signature is None:
            signature = self._by_coarse[coarse_line] = "".join(tokens_of(refine(coarse_line)))
        return signature

    def _learn(self, signatures: Sequence[str]) -> None:
        version = self._rules.version
        for signature in signatures:
            self._groups[signature] = self._resolve(signature, learn=True)
        for _ in range(SETTLE_ROUNDS):
            if self._rules.version == version:
                break
            version = self._rules.version
            for signature in tuple(self._groups):
                self._move(signature, self._resolve(signature, learn=True))

    def _move(self, signature: str, group: GroupedLine) -> None:
        old = self._groups[signature]
        if old != group:
            self._groups[signature] = group
            if len(self._aliases) < MAX_ALIASES:
                self._aliases[old.group_id] = group.group_id

    def _resolve(self, signature: str, *, learn: bool = False) -> GroupedLine:
        return group_of("".join(self._rules.resolve(tokens_of(signature), learn=learn)))
