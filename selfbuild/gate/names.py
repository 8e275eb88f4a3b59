"""Resolves names of a module to dotted names through its imports, coarsely: an alias counts in every scope."""

import ast
from collections.abc import Iterable, Iterator


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
    """One module: its nodes, walked once, and its imports."""

    def __init__(self, tree: ast.AST) -> None:
        self.nodes = tuple(ast.walk(tree))
        self.imported = dict(import_targets(self.nodes))

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
