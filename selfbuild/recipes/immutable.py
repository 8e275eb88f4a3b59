"""Which values of a function are certain to be immutable, told from its code alone where nothing is annotated."""

from collections.abc import Iterable, Mapping

import libcst as cst

from selfbuild.recipes.base import code_of, words
from selfbuild.recipes.plan import parameters, walk

_ANSWER_PLAIN = words("abs bool bytes chr divmod float format hash hex int isinstance len ord pow repr round str")
_ANSWER_ELEMENT = words("max min sum tuple frozenset any all")
_BOXES = words("list sorted reversed set range enumerate zip dict")
_TEXT = words(
    """
    strip lstrip rstrip join lower upper replace startswith endswith find rfind index count format encode decode zfill
    title casefold capitalize isdigit isalpha isalnum isspace isupper islower partition rpartition bit_length
    """
)
_LISTS_OF_TEXT = words("split rsplit splitlines")


class Immutables:
    """The local names of one function whose values are immutable, or collections of immutable values.

    Parameters count as immutable: who asks sees to it. Names begin as trusted and lose that by any assignment that is
    not certain, until nothing changes.
    """

    def __init__(
        self,
        function: cst.FunctionDef,
        others: Mapping[str, cst.FunctionDef],
        asked: frozenset[str] = frozenset(),
    ) -> None:
        """`others`: the module's functions by name; `asked`: those whose answers are being looked at already."""
        self._others = others
        self._asked = asked | {function.name.value}
        self._plain = {each.name.value for each in parameters(function)}
        self._boxes: set[str] = set()
        stored = list(self._stores(function.body))
        names = {name for name, _ in stored}
        self._plain |= names
        self._boxes |= names
        for _ in range(2 * len(names) + 1):
            lost_plain = {name for name, value in stored if name in self._plain and not self.is_plain(value)}
            lost_boxes = {name for name, value in stored if name in self._boxes and not self._is_box(value)}
            lost_boxes |= self._spoiled(function.body) & self._boxes
            if not lost_plain and not lost_boxes:
                break
            self._plain -= lost_plain
            self._boxes -= lost_boxes

    def answers_plain(self, function: cst.FunctionDef) -> bool:
        """Whether every answer of the function is immutable."""
        return all(each.value is None or self.is_plain(each.value) for each in walk(function.body, cst.Return))

    def _stores(self, body: cst.BaseSuite) -> Iterable[tuple[str, cst.BaseExpression | None]]:
        for assign in walk(body, cst.Assign):
            for part in assign.targets:
                yield from self._pairs(part.target, assign.value)
        for single in walk(body, cst.AnnAssign, cst.AugAssign, cst.NamedExpr):
            if single.value is not None:
                yield from self._pairs(single.target, single.value)
        for loop in walk(body, cst.For, cst.CompFor):
            element = cst.Subscript(loop.iter, [cst.SubscriptElement(cst.Index(cst.Integer("0")))])
            for name in walk(loop.target, cst.Name):
                yield name.value, element

    def _pairs(
        self, target: cst.BaseExpression, value: cst.BaseExpression
    ) -> Iterable[tuple[str, cst.BaseExpression | None]]:
        if isinstance(target, cst.Name):
            yield target.value, value
        elif isinstance(target, cst.Tuple | cst.List):
            same = isinstance(value, cst.Tuple | cst.List) and len(value.elements) == len(target.elements)
            for index, part in enumerate(target.elements):
                own = value.elements[index].value if same and isinstance(value, cst.Tuple | cst.List) else value
                yield from self._pairs(part.value, own)

    def is_plain(self, node: cst.BaseExpression | None) -> bool:
        """Whether the expression's value is certain to be immutable."""
        if isinstance(node, cst.BaseNumber | cst.BaseString | cst.Comparison | cst.Lambda):
            return not isinstance(node, cst.Lambda)
        if isinstance(node, cst.Name):
            return node.value in self._plain or node.value in ("None", "True", "False")
        if isinstance(node, cst.UnaryOperation):
            return self.is_plain(node.expression)
        if isinstance(node, cst.BinaryOperation | cst.BooleanOperation):
            return self.is_plain(node.left) and self.is_plain(node.right)
        if isinstance(node, cst.IfExp):
            return self.is_plain(node.body) and self.is_plain(node.orelse)
        if isinstance(node, cst.Tuple):
            return all(self.is_plain(each.value) for each in node.elements)
        if isinstance(node, cst.Subscript):
            part = isinstance(node.slice[0].slice, cst.Slice)
            return self.is_plain(node.value) or (self._is_box(node.value) and not part)
        return isinstance(node, cst.Call) and self._call_is_plain(node)

    def _call_is_plain(self, call: cst.Call) -> bool:
        name = code_of(call.func)
        if name in _ANSWER_PLAIN or name.startswith("math.") or name in self._asked:
            return True
        if name in self._others and all(self.is_plain(each.value) for each in call.args):
            other = self._others[name]
            return Immutables(other, self._others, self._asked).answers_plain(other)
        if name in _ANSWER_ELEMENT:
            return all(self.is_plain(each.value) or self._is_box(each.value) for each in call.args if not each.keyword)
        if not isinstance(call.func, cst.Attribute):
            return False
        owner, method = call.func.value, call.func.attr.value
        if method in ("get", "pop"):
            return self._is_box(owner) and all(self.is_plain(each.value) for each in call.args)
        return method in _TEXT and (self.is_plain(owner) or method in ("join", "count"))

    def _is_box(self, node: cst.BaseExpression | None) -> bool:
        """Whether the value is a collection of immutable values."""
        if isinstance(node, cst.Name):
            return node.value in self._boxes
        if isinstance(node, cst.List | cst.Set | cst.Dict):
            return all(self.is_plain(each.value) for each in node.elements)
        if isinstance(node, cst.ListComp | cst.SetComp | cst.GeneratorExp | cst.DictComp):
            return self.is_plain(node.value if isinstance(node, cst.DictComp) else node.elt)
        if isinstance(node, cst.BinaryOperation):
            sides = (node.left, node.right)
            return all(self._is_box(each) or self.is_plain(each) for each in sides)
        if isinstance(node, cst.Subscript):
            return self._is_box(node.value) and isinstance(node.slice[0].slice, cst.Slice)
        return self._call_is_box(node) if isinstance(node, cst.Call) else self.is_plain(node)

    def _call_is_box(self, node: cst.Call) -> bool:
        if isinstance(node.func, cst.Attribute) and node.func.attr.value in _LISTS_OF_TEXT:
            return self.is_plain(node.func.value)
        if code_of(node.func) in _BOXES:
            return all(self.is_plain(each.value) or self._is_box(each.value) for each in node.args if not each.keyword)
        return self.is_plain(node)

    def _spoiled(self, body: cst.BaseSuite) -> set[str]:
        """Collections that something is put into which is not certain to be immutable."""
        found: set[str] = set()
        for assign in walk(body, cst.Assign):
            for part in assign.targets:
                inside = part.target.value if isinstance(part.target, cst.Subscript) else None
                if isinstance(inside, cst.Name) and not self.is_plain(assign.value):
                    found.add(inside.value)
        for call in walk(body, cst.Call):
            if isinstance(call.func, cst.Attribute) and call.func.attr.value not in _TEXT | {"get", "pop", "keys"}:
                owner = call.func.value
                if isinstance(owner, cst.Name) and not all(self.is_plain(each.value) for each in call.args):
                    found.add(owner.value)
        return found
