"""What of two versions may be compared by name: parameters, attributes and variables of the module."""

import ast

from selfbuild.gate.changes import FunctionRef, definitions


def same_parameters(old: str, new: str, function: FunctionRef) -> bool:
    """Whether both versions of a function are called alike."""
    texts = []
    for text in (old, new):
        found = [
            ast.dump(_without_annotations(each.node.args))
            for each in definitions(ast.parse(text))
            if each.qualified_name == function.qualified_name and each.kind == function.kind
        ]
        texts.append(found[:1])
    return texts[0] == texts[1] != []


def added_attributes(old: str, new: str) -> frozenset[str]:
    """Attributes that only the new text assigns: a place of its own to remember things is no behaviour.

    Of those declared in a class only private ones: a public one may be a field.
    """
    was, is_ = (_attributes(ast.parse(text)) for text in (old, new))
    assigned, declared = ({*is_[place]} - was[0] - was[1] for place in (0, 1))
    return frozenset(assigned - declared | {name for name in declared if name.startswith("_")})


def common_globals(old: str, new: str) -> frozenset[str]:
    """Variables that both texts bind in the module, functions, classes and imports left out."""
    was, is_ = (_globals(ast.parse(text)) for text in (old, new))
    return was & is_


def _without_annotations(arguments: ast.arguments) -> ast.arguments:
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg):
            each.annotation = None
    return arguments


def _attributes(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Assigned on objects, declared in classes."""
    assigned = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    fields = {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    cached = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).endswith("cached_property") for each in node.decorator_list)
    }
    return assigned, fields | cached


def _globals(tree: ast.Module) -> frozenset[str]:
    return frozenset(
        node.id
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
