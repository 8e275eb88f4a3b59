"""What is checked of a component's files without running anything: paths, sizes, characters, shape, syntax, code."""

import ast
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfbuild.domain.components import ComponentFile, ComponentRequest, ComponentType, package_of
from selfbuild.gate.characters import character_problem
from selfbuild.gate.names import Names, import_targets
from selfbuild.gate.vocabulary import RISKY_ATTRIBUTES, RISKY_MEMBERS, RISKY_MODULES, RISKY_NAMES, SAFE_MODULES

FILES = 30
FILE_BYTES = 64 * 1024
ALL_BYTES = 256 * 1024
LINE_CHARACTERS = 400
FINAL_CHECKS = frozenset({"path", "unicode", "code"})
"""Checks whose failure may be an attack: such files are never sent back for repair."""

_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,5}$")
_SUFFIXES = (".py", ".md", ".toml")
_HIDING = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
_OF_TYPE: Mapping[ComponentType, frozenset[str]] = {
    ComponentType.SKILL: frozenset(),
    ComponentType.AGENT: frozenset({"asyncio", "random"}),
    ComponentType.SERVICE: frozenset(
        {"argparse", "http.HTTPStatus", "http.server", "io", "signal", "socketserver", "urllib.parse", "wsgiref"}
    ),
    ComponentType.MCP_TOOL: frozenset({"argparse", "mcp.MCPError", "mcp.server", "mcp_types"}),
}
"""Modules that a component of the type cannot do without, beside the harmless ones."""
_OF_TESTS = frozenset(
    {"asyncio", "http.client", "io", "pytest", "unittest", "unittest.mock", "mcp.Client", "mcp.server", "random"}
)
_OPENED_BY = {
    "http": frozenset({"http.client", "urllib.request", "urllib.error", "httpx", "httpx2", "ssl", "urllib.parse"}),
    "filesystem": frozenset({"pathlib", "tempfile", "shutil", "os.path", "glob", "io"}),
    "sqlite": frozenset({"sqlite3"}),
    "cloudwatch": frozenset({"boto3", "botocore"}),
}
"""First word of a declared integration point -> what it lets the component import."""
_HARMLESS_STDLIB = frozenset(
    {"argparse", "calendar", "csv", "difflib", "hashlib", "hmac", "html", "locale", "uuid", "zoneinfo"}
)
_CLOCK = ("time.", "datetime.", "threading.", "contextlib.", "logging.basicConfig")
"""Members that a patch may not begin to use, but code written anew may."""
_REACHING = RISKY_MEMBERS | {
    "io.FileIO",
    "io.open",
    "io.open_code",
    "mcp.StdioServerParameters",
    "mcp.client.stdio",
    "mcp.stdio_client",
    "unittest.main",
}
_NAMES = RISKY_NAMES - {"hash", "ord", "chr", "print_function", "help", "license", "credits", "copyright"}
_ATTRIBUTES = RISKY_ATTRIBUTES - {"get_event_loop", "modules", "kill", "decompress", "fromhex"}
_HIDDEN_ATTRIBUTES = re.compile(
    r"^__(?!init__|name__|doc__|file__|version__|enter__|exit__|aenter__|aexit__|len__|iter__).*__$"
)


@dataclass(frozen=True)
class Refusal:
    """Why the files are refused."""

    check: str
    """`path`, `size`, `unicode`, `shape`, `syntax` or `code`."""
    reason: str
    place: str | None = None

    @property
    def final(self) -> bool:
        return self.check in FINAL_CHECKS


def check_files(request: ComponentRequest, files: Sequence[ComponentFile]) -> Refusal | None:
    """The first reason why the files are refused, cheapest checks first; None where they may be run in the sandbox."""
    for check in (_paths, _sizes, _unicode, _shape, _syntax, _code):
        for refusal in check(request, files):
            return refusal
    return None


def _paths(request: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    seen: set[str] = set()
    roots = (f"{request.package}/", "tests/")
    for file in files:
        if _PATH.match(file.path) is None or not file.path.endswith(_SUFFIXES):
            yield Refusal("path", f"{file.path!r} is no relative path to a {', '.join(_SUFFIXES)} file", file.path)
        elif file.path not in ("README.md", "pyproject.toml") and not file.path.startswith(roots):
            yield Refusal("path", f"{file.path!r} is neither README.md nor below {' or '.join(roots)}", file.path)
        elif file.path.lower() in seen:
            yield Refusal("path", f"{file.path!r} is there twice", file.path)
        seen.add(file.path.lower())


def _sizes(_: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    if len(files) > FILES:
        yield Refusal("size", f"{len(files)} files: at most {FILES} are taken")
    total = 0
    for file in files:
        size = len(file.content.encode("utf-8", "surrogatepass"))
        total += size
        if size > FILE_BYTES:
            yield Refusal("size", f"{file.path} has {size} bytes: at most {FILE_BYTES} are taken", file.path)
        long = next((n for n, line in enumerate(file.content.split("\n"), 1) if len(line) > LINE_CHARACTERS), None)
        if long is not None and file.path.endswith(".py"):
            yield Refusal("size", f"line {long} of {file.path} is longer than {LINE_CHARACTERS}", f"{file.path}:{long}")
    if total > ALL_BYTES:
        yield Refusal("size", f"the files have {total} bytes together: at most {ALL_BYTES} are taken")


def _unicode(_: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    for file in files:
        problem = character_problem("", file.content) if file.path.endswith(".py") else _hidden(file.content)
        if problem is not None:
            yield Refusal(
                "unicode", f"{file.path}: {problem.replace(' is new to the file', ' is not taken')}", file.path
            )


def _hidden(text: str) -> str | None:
    for character in text:
        if character not in "\n\t" and unicodedata.category(character) in _HIDING:
            return f"the hidden character U+{ord(character):04X} is not taken"
    return None


def _shape(request: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    texts = {file.path: file.content for file in files}
    for path in ("README.md", "pyproject.toml", f"{request.package}/__init__.py"):
        if not texts.get(path, "").strip():
            yield Refusal("shape", f"{path} is missing or empty", path)
    tests = "\n".join(text for path, text in texts.items() if is_test(path))
    for slug in request.capabilities:
        if re.search(rf"^\s*(async )?def test_capability_{slug}(_\w+)?\(", tests, re.MULTILINE) is None:
            yield Refusal("shape", f"no test is named test_capability_{slug}, in a file tests/test_*.py", "tests")


def is_test(path: str) -> bool:
    """Whether pytest collects the file."""
    return path.startswith("tests/") and path.rpartition("/")[2].startswith("test_") and path.endswith(".py")


def _syntax(_: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    for file in files:
        if not file.path.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(ast.parse(file.content), file.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            where = f" on line {line}" if line else ""
            yield Refusal("syntax", f"Syntax error{where} of {file.path}: {getattr(error, 'msg', error)}", file.path)


def _code(request: ComponentRequest, files: Sequence[ComponentFile]) -> Iterator[Refusal]:
    for file in files:
        if file.path.endswith(".py"):
            allowed = _allowed_modules(request, test=file.path.startswith("tests/"))
            for line, finding in _findings(ast.parse(file.content), allowed):
                yield Refusal("code", f"{file.path}:{line}: {finding}", f"{file.path}:{line}")


def _allowed_modules(request: ComponentRequest, *, test: bool) -> frozenset[str]:
    modules = SAFE_MODULES | _HARMLESS_STDLIB | _OF_TYPE[request.component_type] | {request.package}
    modules |= {package_of(each).replace("-", "_") for each in request.requirements.dependencies}
    for point in request.requirements.integration_points:
        modules |= _OPENED_BY.get(re.split(r"[^a-z0-9]+", point.lower())[0], frozenset())
    return modules | _OF_TESTS if test else modules


def _findings(tree: ast.Module, allowed: frozenset[str]) -> Iterator[tuple[int, str]]:
    names = Names(tree.body, dict(import_targets(ast.walk(tree))))
    for node in names.nodes:
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((line, text) for text in _imports(node, allowed))
        elif isinstance(node, ast.Name) and node.id in _NAMES and node.id not in names.imported:
            if not (node.id == "open" and "pathlib" in allowed):
                yield line, f"uses {node.id}"
        elif isinstance(node, ast.Call) and names.dotted(node.func) == "getattr":
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)) or _forbidden_attribute(name.value):
                yield line, "uses getattr with a name that is computed or forbidden"
        elif isinstance(node, ast.Attribute):
            dotted = names.dotted(node) or ""
            if _forbidden_attribute(node.attr):
                yield line, f"uses the attribute {node.attr}"
            elif _reaches(dotted, allowed) or (names.imports(node) and _reexported(dotted, allowed)):
                yield line, f"uses {dotted}"


def _forbidden_attribute(name: str) -> bool:
    return name in _ATTRIBUTES or _HIDDEN_ATTRIBUTES.match(name) is not None


def _imports(node: ast.Import | ast.ImportFrom, allowed: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return
        wanted = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        wanted = [alias.name for alias in node.names]
    for name in wanted:
        parts = name.split(".")
        if any(".".join(parts[:count]) in allowed for count in range(1, len(parts) + 1)):
            if _reaches(name, allowed) or _reexported(name, allowed):
                yield f"imports {name}"
            continue
        risky = parts[0] in RISKY_MODULES or parts[0] in sys.stdlib_module_names
        remedy = "it is outside of what a component may use" if risky else "name it in the request's dependencies"
        yield f"imports {name}: {remedy}"


def _reaches(dotted: str, allowed: frozenset[str]) -> bool:
    """Members that reach out are for components that declare where to; clocks and threads are nobody's business."""
    if dotted in ("asyncio.open_connection", "asyncio.start_server"):
        return "http.client" not in allowed
    return dotted in _REACHING and not dotted.startswith(_CLOCK)


def _reexported(dotted: str, allowed: frozenset[str]) -> bool:
    """Whether a harmless module is used to get at another one, as in `json.codecs`."""
    first, _, rest = dotted.partition(".")
    second = rest.partition(".")[0]
    if first not in sys.stdlib_module_names or second == first or f"{first}.{second}" in allowed:
        return False
    return second in RISKY_MODULES
