"""What an expression is, told from its own text: a plain read, what may be evaluated twice, where imports end."""

import libcst as cst

from selfbuild.recipes.base import words

_TEXT_METHODS = words("strip lstrip rstrip lower upper casefold title replace removeprefix removesuffix get")
_CONVERSIONS = ("str", "int", "float", "len", "repr")
_LITERALS = (cst.SimpleString, cst.Integer, cst.Float)


def is_plain_read(node: cst.BaseExpression) -> bool:
    """Whether the expression is a name, attributes of one, or literal subscripts: reading it twice changes nothing."""
    while isinstance(node, cst.Attribute | cst.Subscript):
        if isinstance(node, cst.Subscript):
            index = node.slice[0].slice if len(node.slice) == 1 else None
            literals = (cst.SimpleString, cst.Integer)
            if not isinstance(index, cst.Index) or not isinstance(index.value, literals):
                return False
        node = node.value
    return isinstance(node, cst.Name)


def root_name(node: cst.BaseExpression) -> str | None:
    """The variable an expression of attributes, subscripts and calls begins with."""
    while isinstance(node, cst.Attribute | cst.Subscript | cst.Call):
        node = node.func if isinstance(node, cst.Call) else node.value
    return node.value if isinstance(node, cst.Name) else None


def after_imports(module: cst.Module) -> int:
    """Index of the first statement behind the docstring and the imports at the top."""
    place = 0
    for index, statement in enumerate(module.body):
        if not isinstance(statement, cst.SimpleStatementLine):
            break
        first = statement.body[0]
        docstring = index == 0 and isinstance(first, cst.Expr)
        if not docstring and not isinstance(first, cst.Import | cst.ImportFrom):
            break
        place = index + 1
    return place


def is_repeatable(node: cst.BaseExpression) -> bool:
    """Whether evaluating the expression twice answers the same and changes nothing.

    Plain reads, literals, and on those: reading methods of texts and `get`, with literals, and conversions.
    """
    if isinstance(node, _LITERALS) or is_plain_read(node):
        return True
    if isinstance(node, cst.Attribute | cst.Subscript):
        literal = isinstance(node, cst.Attribute) or is_literal_index(node)
        return literal and is_repeatable(node.value)
    if not isinstance(node, cst.Call) or any(each.star or each.keyword for each in node.args):
        return False
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in _TEXT_METHODS:
        return is_repeatable(node.func.value) and all(_is_literal(each.value) for each in node.args)
    named = isinstance(node.func, cst.Name) and node.func.value in _CONVERSIONS
    return named and len(node.args) == 1 and is_repeatable(node.args[0].value)


def is_literal_index(node: cst.Subscript) -> bool:
    """Whether the subscript is by one literal."""
    index = node.slice[0].slice if len(node.slice) == 1 else None
    return isinstance(index, cst.Index) and _is_literal(index.value)


def _is_literal(node: cst.BaseExpression) -> bool:
    return isinstance(node, _LITERALS) or (isinstance(node, cst.Name) and node.value in ("None", "True", "False"))
