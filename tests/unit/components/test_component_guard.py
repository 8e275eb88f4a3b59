"""What is refused of a component's files before anything of them is run."""

import pytest

from selfbuild.domain.components import ComponentFile, ComponentType
from selfbuild.gate.components import ALL_BYTES, FILE_BYTES, FILES, Refusal, check_files
from selfbuild.recipes.scaffolds import scaffold
from tests.fakes.components import a_component_request, some_requirements

PACKAGE = "meeting_summary"


def refusal(path: str, content: str, **requirements: object) -> Refusal | None:
    request = a_component_request(requirements=some_requirements(**requirements))
    files = {file.path: file for file in scaffold(request).files}
    return check_files(request, [*(files | {path: ComponentFile(path=path, content=content)}).values()])


NAMES = ["simple_service", "x9", "meeting-summary", "a-long-name-of-a-component-with-many-parts"]
TEXTS = [
    pytest.param("Plain words.", "plain words", id="plain"),
    pytest.param('"""; import os; """ \\', '"""quoted""" \\ $name {x}', id="quotes"),
    pytest.param("Möte 会议 \u202e", "Möte summarise", id="other-scripts"),
]


@pytest.mark.parametrize("kind", ComponentType)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("description", "capability"), TEXTS)
def test_scaffold_passes_whatever_the_words(kind: ComponentType, name: str, description: str, capability: str) -> None:
    wanted = some_requirements(
        name=name,
        description=description,
        capabilities=(capability, "class", "import os"),
        integration_points=("s3 'x\"",),
    )
    request = a_component_request(component_type=kind, requirements=wanted)

    assert check_files(request, scaffold(request).files) is None
    assert scaffold(request) == scaffold(request)


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "/etc/passwd.py",
        f"{PACKAGE}/../../x.py",
        "setup.py",
        "conftest.py",
        f"{PACKAGE}/run.sh",
        f"{PACKAGE}/.hidden.py",
        f"{PACKAGE}\\x.py",
        f"{PACKAGE}/Capabilities.py",
        "",
    ],
)
def test_foreign_path_is_refused_for_good(path: str) -> None:
    found = refusal(path, "x = 1\n")

    assert found is not None
    assert (found.check, found.final) == ("path", True)


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import subprocess",
        "from urllib import request",
        "import requests",
        "from importlib import import_module",
        "import asyncio.subprocess",
        "from concurrent.futures import ProcessPoolExecutor",
        "value = eval('1')",
        "value = __import__('os')",
        "value = open('/etc/passwd')",
        "value = ().__class__.__subclasses__()",
        "value = getattr(print, '__self__')",
        "value = getattr(print, 'a' + 'b')",
        "import json; value = json.codecs.sys",
        "import logging.handlers",
        "import json; value = json.codecs.open('x')",
        "import operator; value = operator.attrgetter('__class__')",
        "from operator import methodcaller",
        "from json import codecs",
        "import anyio",
    ],
)
def test_reaching_code_is_refused_for_good(line: str) -> None:
    found = refusal(f"{PACKAGE}/more.py", f'"""More."""\n\n{line}\n')

    assert found is not None
    assert (found.check, found.final, found.place) == ("code", True, f"{PACKAGE}/more.py:3")


@pytest.mark.parametrize(
    ("line", "requirements"),
    [
        ("import sqlite3", {"integration_points": ("sqlite file",)}),
        ("from pathlib import Path", {"integration_points": ("filesystem",)}),
        ("from http.client import HTTPConnection", {"integration_points": ("HTTP: the wiki",)}),
        ("import pydantic", {"dependencies": ("pydantic>=2",)}),
        ("import time; now = time.time()", {}),
        ("from meeting_summary.capabilities import call", {}),
        ("from .capabilities import call", {}),
    ],
)
def test_declared_code_is_taken(line: str, requirements: dict[str, object]) -> None:
    assert refusal(f"{PACKAGE}/more.py", f'"""More."""\n\n{line}\n', **requirements) is None


@pytest.mark.parametrize(
    ("path", "content", "check", "said"),
    [
        ("README.md", "", "shape", "README.md is missing or empty"),
        (f"{PACKAGE}/more.py", "def f(:\n", "syntax", "Syntax error on line 1"),
        (f"{PACKAGE}/more.py", "x = '\u202e'\n", "unicode", "U+202E"),
        (f"{PACKAGE}/more.py", "x = 'Möte'\n", "unicode", "U+00F6"),
        ("README.md", "hidden\u200b\n", "unicode", "U+200B"),
        (f"{PACKAGE}/more.py", "x = 1\n" * FILE_BYTES, "size", "at most"),
        (f"{PACKAGE}/more.py", f"x = '{'y' * 400}'\n", "size", "line 1"),
        (f"tests/test_{PACKAGE}_capabilities.py", "def test_x() -> None:\n    assert 1\n", "shape", "test_capability_"),
    ],
)
def test_refusal_names_the_check(path: str, content: str, check: str, said: str) -> None:
    found = refusal(path, content)

    assert found is not None
    assert found.check == check
    assert said in found.reason


def test_files_are_counted_and_weighed() -> None:
    request = a_component_request()
    files = list(scaffold(request).files)
    many = [*files, *(ComponentFile(path=f"{PACKAGE}/m{n}.py", content="") for n in range(FILES))]
    heavy = [*files, *(ComponentFile(path=f"{PACKAGE}/n{n}.md", content="x" * (ALL_BYTES // 5)) for n in range(6))]

    assert [found.check for found in (check_files(request, many), check_files(request, heavy)) if found] == ["size"] * 2


@pytest.mark.parametrize(
    "line",
    ["import io; value = io.open('/etc/passwd')", "from mcp import StdioServerParameters", "import mcp.client.stdio"],
)
def test_tests_and_servers_reach_no_further_than_they_need(line: str) -> None:
    found = refusal("tests/test_more.py", f"{line}\n")

    assert found is not None
    assert found.check == "code"
