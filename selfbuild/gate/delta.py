"""The delta guard: risky facts of the new text that the old text did not have. It never runs anything."""

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from selfbuild.gate.characters import hidden_in_strings
from selfbuild.gate.conditions import clock_facts
from selfbuild.gate.facts import risky_facts
from selfbuild.gate.literals import all_literals, compared_literals, literal_facts
from selfbuild.gate.names import Names, import_targets
from selfbuild.gate.outward import other_addresses, outward_facts
from selfbuild.gate.policy import PathPolicy
from selfbuild.gate.protections import bypass_facts, protective_facts
from selfbuild.gate.regions import imports_in, touched
from selfbuild.gate.remarks import remark_findings
from selfbuild.gate.structure import Shape, structure_findings
from selfbuild.gate.vocabulary import RISKY_ATTRIBUTES, RISKY_MODULES, SAFE_MODULES


@dataclass(frozen=True)
class Delta:
    """One file in both versions, parsed once; what differs is looked at once."""

    old: ast.Module
    new: ast.Module
    old_text: str
    new_text: str

    @cached_property
    def imports(self) -> tuple[list[ast.Import | ast.ImportFrom], list[ast.Import | ast.ImportFrom]]:
        return list(imports_in(self.old.body)), list(imports_in(self.new.body))

    @cached_property
    def names(self) -> tuple[Names, Names]:
        regions = touched(self.old, self.new, self.old_text, self.new_text)
        before, after = self.imports
        return (
            Names(regions.old, dict(import_targets(before))),
            Names(regions.new, dict(import_targets(after))),
        )

    @cached_property
    def shape(self) -> Shape:
        return Shape(self.old, self.new, *self.names)


_MORE: tuple[tuple[Callable[[Names], Counter[str] | Iterator[str]], str], ...] = (
    (risky_facts, "brings in {}"),
    (literal_facts, "brings in {}"),
    (outward_facts, "brings in {}"),
    (clock_facts, "brings in {}"),
    (bypass_facts, "brings in {}"),
    (lambda names: hidden_in_strings(names.nodes), "hides the character {} in a literal"),
)


def code_findings(delta: Delta, *, own_modules: Callable[[], Collection[str]], policy: PathPolicy) -> list[str]:
    """Why the change may do more than it says, in words; empty when nothing was found.

    Args:
        delta: The file before and after.
        own_modules: The application's own importable names, asked for where something is newly imported.
        policy: Whose denied paths may not be imported from either.
    """
    before, after = delta.names
    findings = [
        finding for facts, words in _MORE for finding in _more(Counter(facts(before)), Counter(facts(after)), words)
    ]
    findings += [f"brings in {kind}" for kind in remark_findings(delta.old_text, delta.new_text, after.nodes)]
    findings += _more(protective_facts(after), protective_facts(before), "drops {}")
    findings += other_addresses(before, after)
    findings += _comparisons(delta)
    findings += _import_findings(delta, own_modules, policy)
    findings += structure_findings(delta.shape)
    return list(dict.fromkeys(findings))


def _more(old: Counter[str], new: Counter[str], words: str) -> list[str]:
    return [words.format(fact) for fact in sorted(new) if new[fact] > old[fact]]


def _comparisons(delta: Delta) -> Iterator[str]:
    before, after = delta.names
    compared = set(compared_literals(after)) - all_literals(before.nodes)
    if compared:
        compared -= all_literals(ast.walk(delta.old))
    for literal in sorted(compared, key=str):
        yield f"compares with the literal {literal!r}, which is new"


def _import_findings(delta: Delta, own_modules: Callable[[], Collection[str]], policy: PathPolicy) -> Iterator[str]:
    old, new = (_all_imports(nodes) for nodes in delta.imports)
    known = {dotted for _, dotted in old}
    for local, dotted in new:
        if (local, dotted) not in old and (local in {name for name, _ in old} or local in delta.shape.taken):
            yield f"{local} is bound to {dotted}, but stands for something else"
        if dotted in known:
            continue
        name = dotted.rpartition(".")[2]
        if name == "*" or name.startswith("_") or name in RISKY_ATTRIBUTES or ("." in dotted and name in RISKY_MODULES):
            yield f"imports {dotted}"
        elif not _importable(dotted, own_modules(), policy):
            yield f"imports {dotted}, which is not on the list of harmless modules"


def _all_imports(nodes: Sequence[ast.AST]) -> list[tuple[str, str]]:
    """Like `import_targets`, with the full dotted name of `import a.b`."""
    full = [(a.name, a.name) for n in nodes if isinstance(n, ast.Import) for a in n.names if not a.asname]
    return [*import_targets(nodes), *full]


def _importable(dotted: str, own_modules: Collection[str], policy: PathPolicy) -> bool:
    root = dotted.lstrip(".").partition(".")[0]
    if dotted.startswith(".") or root in own_modules:
        parts = dotted.lstrip(".").split(".")
        paths = ["/".join(parts[:count]) + ".py" for count in range(1, len(parts) + 1)]
        return not any((policy.refusal(path) or "").startswith(f"{path!r} is never") for path in paths)
    return root in SAFE_MODULES
