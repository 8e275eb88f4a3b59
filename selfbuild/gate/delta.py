"""The delta guard: risky facts of the new text that the old text did not have. It never runs anything."""

import ast
from collections import Counter
from collections.abc import Collection, Iterator

from selfbuild.gate.characters import hidden_in_strings
from selfbuild.gate.facts import protective_facts, risky_facts, suppression_comments
from selfbuild.gate.literals import all_literals, compared_literals, literal_facts
from selfbuild.gate.names import Names, import_targets
from selfbuild.gate.policy import PathPolicy
from selfbuild.gate.structure import structure_findings
from selfbuild.gate.vocabulary import RISKY_ATTRIBUTES, SAFE_MODULES


def code_findings(
    old: ast.Module, new: ast.Module, *, old_text: str, new_text: str, own_modules: Collection[str], policy: PathPolicy
) -> list[str]:
    """Why the change may do more than it says, in words; empty when nothing was found."""
    before, after = Names(old), Names(new)
    findings = _more(risky_facts(before), risky_facts(after), "brings in {}")
    findings += _more(Counter(literal_facts(before)), Counter(literal_facts(after)), "brings in {}")
    findings += _more(suppression_comments(old_text), suppression_comments(new_text), "brings in {}")
    findings += _more(
        hidden_in_strings(before.nodes), hidden_in_strings(after.nodes), "hides the character {} in a literal"
    )
    findings += _more(protective_facts(after), protective_facts(before), "drops {}")
    known = all_literals(before)
    for literal in sorted(set(compared_literals(after)) - known, key=str):
        findings.append(f"compares with the literal {literal!r}, which is new")
    findings += _import_findings(before, after, own_modules, policy)
    findings += structure_findings(old, new, after, before)
    return list(dict.fromkeys(findings))


def _more(old: Counter[str], new: Counter[str], words: str) -> list[str]:
    return [words.format(fact) for fact in sorted(new) if new[fact] > old[fact]]


def _import_findings(old: Names, new: Names, own_modules: Collection[str], policy: PathPolicy) -> Iterator[str]:
    bound = dict(_all_imports(old))
    known = {dotted for _, dotted in _all_imports(old)}
    for local, dotted in _all_imports(new):
        if bound.get(local, dotted) != dotted:
            yield f"{local} is bound to {dotted} instead of {bound[local]}"
        if dotted in known:
            continue
        name = dotted.rpartition(".")[2]
        if name == "*" or name.startswith("_") or name in RISKY_ATTRIBUTES:
            yield f"imports {dotted}"
        elif not _importable(dotted, own_modules, policy):
            yield f"imports {dotted}, which is not on the list of harmless modules"


def _all_imports(names: Names) -> list[tuple[str, str]]:
    """Like `import_targets`, with the full dotted name of `import a.b`."""
    full = [(a.name, a.name) for n in names.nodes if isinstance(n, ast.Import) for a in n.names if not a.asname]
    return [*import_targets(names.nodes), *full]


def _importable(dotted: str, own_modules: Collection[str], policy: PathPolicy) -> bool:
    root = dotted.lstrip(".").partition(".")[0]
    if dotted.startswith(".") or root in own_modules:
        parts = dotted.lstrip(".").split(".")
        paths = ["/".join(parts[:count]) + ".py" for count in range(1, len(parts) + 1)]
        return not any((policy.refusal(path) or "").startswith(f"{path!r} is never") for path in paths)
    return root in SAFE_MODULES
