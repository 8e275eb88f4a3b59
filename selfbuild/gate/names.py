"""Resolves names of a module to dotted names through its imports, coarsely: an alias counts in every scope."""

import ast
from collections.abc import Iterable, Iterator, Mapping

_MARKS = (ast.expr_context, ast.operator, ast.boolop, ast.unaryop)


def import_targets(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """(local name, dotted name) of every import; relative ones keep their leading dots."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                yield local, alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, f"{base}.{alias.name}"


class Names:
    """Some statements of a module: their nodes, walked once, what they assign, and the module's imports."""

    def __init__(self, roots: Iterable[ast.AST], imported: Mapping[str, str]) -> None:
        """
        Args:
            roots: The statements to look at.
            imported: Local name -> dotted name, of the whole module.
        """
        self.roots = tuple(roots)
        self.nodes = _below(self.roots)
        self.imported = imported
        self.assigned: dict[str, list[ast.expr]] = {}
        self.parameters: dict[str, frozenset[str]] = {}
        """Function -> names of its parameters."""
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                self.parameters[node.name] = frozenset(each.arg for each in every)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
                    if isinstance(target, ast.Name):
                        self.assigned.setdefault(target.id, []).append(node.value)

    def dotted(self, node: ast.AST) -> str | None:
        """The dotted name an expression stands for, None for anything but a name or an attribute of one."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def imports(self, node: ast.AST) -> bool:
        """Whether the expression begins at an imported name."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        return isinstance(node, ast.Name) and node.id in self.imported

    def meanings(self, node: ast.expr) -> tuple[ast.expr, ...]:
        """The expression itself, or for a name what the statements assign to it."""
        return tuple(self.assigned.get(node.id, ())) if isinstance(node, ast.Name) else (node,)


def _below(roots: Iterable[ast.AST]) -> tuple[ast.AST, ...]:
    """All nodes but operators and the marks of loading and storing, which are half of a tree and say nothing."""
    found: list[ast.AST] = []
    waiting = list(roots)[::-1]
    while waiting:
        node = waiting.pop()
        found.append(node)
        for name in node._fields[::-1]:
            value = getattr(node, name, None)
            if isinstance(value, list):
                waiting.extend(each for each in reversed(value) if isinstance(each, ast.AST))
            elif isinstance(value, ast.AST) and not isinstance(value, _MARKS):
                waiting.append(value)
    return tuple(found)


def words_of(node: ast.AST) -> Iterator[str]:
    """Names, attributes and literal keys that an expression is made of, in lower case."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id.casefold()
        elif isinstance(inner, ast.Attribute):
            yield inner.attr.casefold()
        elif isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
            yield str(inner.slice.value).casefold()
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "get":
            yield from (str(word.value).casefold() for word in inner.args[:1] if isinstance(word, ast.Constant))


def literal_text(node: ast.AST) -> str | None:
    """The text of a literal, also where it is pieced together with `+`, `%`-free f-strings or `"".join([...])`."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return node.value.decode("latin-1")
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined(literal_text(node.left), literal_text(node.right))
    if isinstance(node, ast.JoinedStr):
        return "".join(literal_text(value) or "\0" for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return literal_text(node.value)
    return _call_text(node)


def _joined(*pieces: str | None) -> str | None:
    known = [piece for piece in pieces if piece is not None]
    return "".join(known) if len(known) == len(pieces) else None


def _call_text(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"):
        return None
    separator = literal_text(node.func.value)
    if separator is None or len(node.args) != 1 or not isinstance(node.args[0], ast.List | ast.Tuple):
        return None
    pieces = [literal_text(element) for element in node.args[0].elts]
    return None if any(piece is None for piece in pieces) else separator.join(piece or "" for piece in pieces)
