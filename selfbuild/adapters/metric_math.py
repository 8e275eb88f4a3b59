"""Metric math over `requests`, `errors` and `latency` of one component: parsed, checked and evaluated here.

Evaluated in place of GetMetricData because the operands are read anyway and every source then understands the
same expressions. It means what CloudWatch means by it: a missing operand and a division by zero leave a gap.
"""

import ast
from collections.abc import Callable, Mapping

import numpy as np

from selfbuild.domain.telemetry import FloatArray

OPERANDS = ("requests", "errors", "latency")
"""Sum of requests, sum of errors and mean latency in milliseconds."""
MAX_LENGTH = 500
_ALLOWED = "numbers, + - * /, parentheses, IF(condition, value, other), FILL(value, number), requests, errors, latency"

_Array = FloatArray
_OPERATORS: dict[type[ast.operator], Callable[[_Array, _Array], _Array]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


class Expression:
    """A checked expression.

    Raises:
        ValueError: `source` holds anything else than what is allowed, or mentions no operand.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_LENGTH:
            raise ValueError(f"an expression may have {MAX_LENGTH} characters, this one has {len(source)}")
        try:
            self._root = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{source!r} cannot be read as an expression; allowed are {_ALLOWED}") from error
        self.operands: frozenset[str] = frozenset(_check(self._root))
        if not self.operands:
            raise ValueError(f"{source!r} mentions none of {', '.join(OPERANDS)}")

    def values(self, operands: Mapping[str, FloatArray]) -> FloatArray:
        """One value a period, NaN where there is none. `operands` are of equal length, NaN where missing."""
        length = len(next(iter(operands.values())))
        with np.errstate(all="ignore"):
            result = np.broadcast_to(_value(self._root, operands), (length,))
        return np.where(np.isfinite(result), result, np.nan)


def _check(node: ast.expr) -> set[str]:
    """The operands that are mentioned."""
    if isinstance(node, ast.Name) and node.id in OPERANDS:
        return {node.id}
    if _is_number(node):
        return set()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _check(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _check(node.left) | _check(node.right)
    if isinstance(node, ast.Call):
        return _check_call(node)
    raise ValueError(f"{ast.unparse(node)!r} is not allowed in an expression; allowed are {_ALLOWED}")


def _check_call(node: ast.Call) -> set[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    arguments = node.args
    if name == "IF" and len(arguments) == 3 and not node.keywords:
        mentioned = [_check(argument) for argument in arguments]
        if not mentioned[0]:
            raise ValueError(f"the condition of {ast.unparse(node)!r} must mention one of {', '.join(OPERANDS)}")
        return set().union(*mentioned)
    if name == "FILL" and len(arguments) == 2 and not node.keywords and _is_number(arguments[1]):
        mentioned_here = _check(arguments[0])
        if mentioned_here:
            return mentioned_here
    raise ValueError(f"{ast.unparse(node)!r} is not allowed in an expression; allowed are {_ALLOWED}")


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _value(node: ast.expr, operands: Mapping[str, FloatArray]) -> FloatArray:
    if isinstance(node, ast.Name):
        return operands[node.id]
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, operands)
    if isinstance(node, ast.BinOp):
        result = _OPERATORS[type(node.op)](_value(node.left, operands), _value(node.right, operands))
        return np.where(np.isfinite(result), result, np.nan)
    if isinstance(node, ast.Call):
        values = [_value(argument, operands) for argument in node.args]
        if len(values) == 2:
            return np.where(np.isnan(values[0]), values[1], values[0])
        condition, chosen, other = values
        return np.where(np.isnan(condition), np.nan, np.where(condition != 0, chosen, other))
    assert isinstance(node, ast.Constant)
    return np.asarray(float(node.value), dtype=np.float64)  # type: ignore[arg-type]
