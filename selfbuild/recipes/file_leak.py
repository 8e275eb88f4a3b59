"""A file or connection that nobody closes stays open until memory is collected; a `with` block closes it."""

from collections.abc import Callable

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule, words
from selfbuild.recipes.plan import LOOPS, PlannedRule, method_of, uses, walk

_OPENERS = frozenset(
    {
        "builtins.open",
        "io.open",
        "gzip.open",
        "bz2.open",
        "lzma.open",
        "urllib.request.urlopen",
        "socket.create_connection",
        "socket.socket",
        "zipfile.ZipFile",
        "tarfile.open",
    }
)
"""What they answer closes itself at the end of a `with` block."""
_CLOSED = frozenset({"sqlite3.connect", "http.client.HTTPConnection", "http.client.HTTPSConnection"})
"""What they answer has `close`, which a `with` block of its own would not call."""
_METHODS = words(
    """
    read readline readlines write writelines seek tell flush truncate close getcode info status recv sendall send
    makefile setblocking setsockopt sendto recvfrom connect bind listen shutdown
    namelist extractall getnames commit execute
    executemany cursor request getresponse fileno settimeout
    """
)
_CONSUMERS = frozenset(
    {
        *(f"json.{name}" for name in ("load", "dump")),
        *(f"pickle.{name}" for name in ("load", "dump")),
        *(f"yaml.{name}" for name in ("load", "safe_load", "dump", "safe_dump")),
        *("tomllib.load", "shutil.copyfileobj"),
        *(f"builtins.{name}" for name in ("list", "sum", "len", "sorted", "set", "tuple", "max", "min", "any", "all")),
        *(f"builtins.{name}" for name in ("enumerate", "print")),
        *("csv.reader", "csv.DictReader", "csv.writer", "csv.DictWriter"),
    }
)


class FileLeak:
    """`f = open(p)` and what uses `f` becomes `with open(p) as f:` and the same; `open(p).read()` likewise.

    Refuses unless the name is one of the known openers, it is a plain local name or used at once in a plain
    statement, no `with` or `finally` closes it, and it is neither answered, kept nor passed to something unknown.
    """

    name = "file_leak"
    insight_types = frozenset(
        {InsightType.RESOURCE_EXHAUSTION, InsightType.ERROR_PATTERN, InsightType.PERFORMANCE_DEGRADATION}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        insight = request.opportunity.insight
        errors = insight.insight_type is InsightType.ERROR_PATTERN
        if errors and not any(
            word in f"{insight.error_type} {insight.error_message}"
            for word in ("Too many open files", "ResourceWarning", "database is locked", "Errno 24")
        ):
            return Refusal(reason="the error does not come from open files or connections")
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path) if not errors else None),
            summary="Close what is opened",
            nothing="nothing is opened without being closed",
            effect=effect_of(request, "errors_gone" if errors else "growth_stopped"),
            needles=("open(", "socket(", "urlopen", "connect", "HTTPConnection", "ZipFile"),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        self._blocks: dict[cst.CSTNode, tuple[int, int, str]] = {}
        for call in walk(module, cst.Call):
            names = self.names(call.func)
            if (
                len(names) != 1
                or not names <= _OPENERS | _CLOSED
                or not self.in_function(call)
                or not self.wanted(call)
            ):
                continue
            if isinstance(self.parent(call), cst.WithItem | cst.Return | cst.Await):
                continue
            self.attempt(call, self._close, call, closing=bool(names & _CLOSED))

    def _close(self, call: cst.Call, *, closing: bool) -> None:
        parent = self.parent(call)
        statement = self.statement(call)
        if isinstance(statement, cst.For) and statement.iter is call and not closing:
            self._wrap_loop(call, statement)
            return
        if not isinstance(statement, cst.SimpleStatementLine) or not isinstance(
            self.parent(statement), cst.IndentedBlock
        ):
            raise RefusedError("is opened in the head of a block")
        if isinstance(parent, cst.Assign) and len(parent.targets) == 1:
            self._wrap_name(call, parent.targets[0].target, statement, closing)
        elif not closing:
            self._wrap_statement(call, statement)
        else:
            raise RefusedError("the connection is not kept in a plain local name")

    def _opened(self, call: cst.Call, closing: bool) -> str:
        if not closing:
            return code_of(call)
        self.need_import("contextlib", "closing")
        return f"closing({code_of(call)})"

    def _wrap_statement(self, call: cst.Call, statement: cst.SimpleStatementLine) -> None:
        if not self.straight(call, statement):
            raise RefusedError("is opened in a part of the statement that may not run or run often")
        called = method_of(call, self.parent)
        argument = self.parent(call)
        consumer = self.parent(argument) if isinstance(argument, cst.Arg) else None
        used = called is not None and called[0] in _METHODS - {"cursor", "makefile", "execute"}
        used = used or (isinstance(consumer, cst.Call) and self.is_one_of(consumer.func, _CONSUMERS - _LAZY))
        if not used:
            raise RefusedError("is passed to something that may keep it")
        name = self.fresh("opened")
        self.swaps[call] = lambda _: cst.Name(name)
        self.swaps[statement] = _with(self._opened(call, False), name)
        self.applied.append(f"line {self.line(call)}")

    def _wrap_loop(self, call: cst.Call, loop: cst.For) -> None:
        if walk(loop, cst.Yield):
            raise RefusedError("is open while values are yielded")
        name = self.fresh("opened")
        self.swap_expression(call, name)
        self.swaps[loop] = _with(code_of(call), name)
        self.applied.append(f"line {self.line(call)}")

    def _wrap_name(
        self, call: cst.Call, target: cst.BaseExpression, statement: cst.SimpleStatementLine, closing: bool
    ) -> None:
        function = self.function(call)
        if function is None or not isinstance(target, cst.Name):
            raise RefusedError("is kept in something that lives on")
        block = self.parent(statement)
        if not isinstance(block, cst.IndentedBlock) or block in self._blocks:
            raise RefusedError("several are opened in one block")
        body = list(block.body)
        start = body.index(statement)
        found = [use for use in uses(function.body, target.value) if use is not target]
        for use in found:
            self._require_harmless(use, function)
        inside = {use for each in body[start + 1 :] for use in uses(each, target.value)}
        if not found or set(found) - inside:
            raise RefusedError("is used outside the block that opens it")
        self._require_leak(found)
        last = max(index for index, each in enumerate(body) if index > start and uses(each, target.value))
        last = len(body) - 1 if closing or self._derives(body[start + 1 : last + 1], target.value) else last
        self._require_answers(body[start + 1 : last + 1], target.value)
        self._wrap_block(block, start, last, f"with {self._opened(call, closing)} as {target.value}:\n    pass\n")
        self.applied.append(f"{target.value} on line {self.line(call)}")

    def _wrap_block(self, block: cst.IndentedBlock, start: int, last: int, head: str) -> None:
        def swap(node: cst.CSTNode) -> cst.CSTNode:
            if not isinstance(node, cst.IndentedBlock):
                return node
            body = list(node.body)
            with_ = cst.parse_statement(head)
            if not isinstance(with_, cst.With):
                return node
            kept = [each for each in body[start + 1 : last + 1] if not _closes(each, head)] or body[
                start + 1 : last + 1
            ]
            first = body[start]
            leading = first.leading_lines if isinstance(first, cst.SimpleStatementLine) else ()
            with_ = with_.with_changes(body=with_.body.with_changes(body=kept), leading_lines=leading)
            return node.with_changes(body=[*body[:start], with_, *body[last + 1 :]])

        self._blocks[block] = (start, last, head)
        self.swaps[block] = swap

    def _require_harmless(self, use: cst.Name, function: cst.FunctionDef) -> None:
        if self.scope(use) is not function:
            raise RefusedError(f"is used in an inner function on line {self.line(use)}")
        called = method_of(use, self.parent)
        parent = self.parent(use)
        harmless = called is not None and called[0] in _METHODS
        harmless = harmless or (isinstance(parent, cst.For | cst.CompFor) and parent.iter is use)
        consumer = self.parent(parent) if isinstance(parent, cst.Arg) else None
        harmless = harmless or (isinstance(consumer, cst.Call) and self.is_one_of(consumer.func, _CONSUMERS))
        harmless = harmless or (
            isinstance(parent, cst.Attribute) and parent.attr.value in ("status", "headers", "name", "code")
        )
        if not harmless or any(isinstance(each, cst.GeneratorExp) for each in self._lazy(use)):
            raise RefusedError(f"is answered, kept or passed on on line {self.line(use)}")

    def _lazy(self, use: cst.Name) -> list[cst.CSTNode]:
        """Generator expressions around the use that nothing consumes at once."""
        found: list[cst.CSTNode] = []
        current = self.parent(use)
        while current is not None and not isinstance(current, cst.BaseStatement):
            argument = self.parent(current) if isinstance(current, LOOPS) else None
            call = self.parent(argument) if isinstance(argument, cst.Arg) else None
            consumed = (
                isinstance(call, cst.Call)
                and bool(self.names(call.func))
                and (self.names(call.func) <= _CONSUMERS - _LAZY or code_of(call.func).endswith(".join"))
            )
            if isinstance(current, cst.GeneratorExp) and not consumed:
                found.append(current)
            current = self.parent(current)
        return found

    def _require_leak(self, found: list[cst.Name]) -> None:
        for use in found:
            called = method_of(use, self.parent)
            if called is None or called[0] != "close":
                continue
            current = self.parent(use)
            while current is not None and not isinstance(current, cst.FunctionDef):
                if isinstance(current, cst.Finally | cst.If | cst.ExceptHandler):
                    raise RefusedError("is closed in a branch of its own")
                current = self.parent(current)

    def _derives(self, body: list[cst.BaseStatement], name: str) -> bool:
        """Whether something is made of it that reads it later."""
        for statement in body:
            for call in walk(statement, cst.Call):
                lazily = self.is_one_of(call.func, _LAZY)
                if lazily and any(code_of(each.value) == name for each in call.args):
                    return True
        return False

    def _require_answers(self, body: list[cst.BaseStatement], name: str) -> None:
        for statement in body:
            if walk(statement, cst.Yield):
                raise RefusedError("is open while values are yielded")
            for answer in walk(statement, cst.Return):
                if answer.value is not None and isinstance(answer.value, cst.Call):
                    names = self.names(answer.value.func)
                    method = code_of(answer.value.func).rpartition(".")[2]
                    if (names and names <= _LAZY) or method in ("cursor", "execute", "makefile", "getresponse"):
                        raise RefusedError("what reads it is answered")


_LAZY = frozenset({"csv.reader", "csv.DictReader", "csv.writer", "csv.DictWriter", "builtins.enumerate"})


def _closes(statement: cst.BaseStatement, head: str) -> bool:
    name = head.splitlines()[0].rpartition(" as ")[2].rstrip(":")
    return isinstance(statement, cst.SimpleStatementLine) and code_of(statement).strip() == f"{name}.close()"


def _with(opened: str, name: str) -> Callable[[cst.CSTNode], cst.CSTNode]:
    def swap(node: cst.CSTNode) -> cst.CSTNode:
        made = cst.parse_statement(f"with {opened} as {name}:\n    pass\n")
        if not isinstance(node, cst.SimpleStatementLine | cst.For) or not isinstance(made, cst.With):
            return node
        inner = node.with_changes(leading_lines=())
        return made.with_changes(body=made.body.with_changes(body=[inner]), leading_lines=node.leading_lines)

    return swap
