"""Frames of an installed release find their file in the repository, or none."""

import pytest

from selfbuild.analysis.source_map import locate, relocate
from selfbuild.analysis.tracebacks import StackFrame
from selfbuild.domain.base import CodeLocation

REPOSITORY = ("app/api.py", "app/orders.py", "src/shop/prices.py", "handler.py", "one/models.py", "two/models.py")
TEXT = "import shop\n\n\ndef first(row):\n    return row['id']\n\n\ndef second(row):\n    return row['id']\n"


def a_frame(path: str, *, line: int = 9, function: str = "run", source: str = "go()") -> StackFrame:
    return StackFrame(path, line, function, source, in_app=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/var/task/app/api.py", "app/api.py", id="Lambda"),
        pytest.param("/home/deploy/.worktrees/ff77/r6/app/orders.py", "app/orders.py", id="worktree"),
        pytest.param("app/api.py", "app/api.py", id="relative"),
        pytest.param("/opt/venv/lib/python3.11/site-packages/shop/prices.py", "src/shop/prices.py", id="installed"),
        pytest.param("C:\\Apps\\App\\API.py", "app/api.py", id="Windows, any case"),
        pytest.param("/opt/app.zip/shop/prices.py", "src/shop/prices.py", id="zipped"),
        pytest.param("/var/task/handler.py", "handler.py", id="at the root"),
        pytest.param("/srv/two/models.py", "two/models.py", id="the longer end"),
        pytest.param("/srv/__pycache__/../app/api.pyc", "app/api.py", id="compiled"),
        pytest.param("/srv/models.py", None, id="two files fit"),
        pytest.param("/srv/lib/orders.py", None, id="only the name fits"),
        pytest.param("/usr/lib/python3.11/site-packages/other/prices.py", None, id="another package"),
        pytest.param("/usr/lib/python3.11/app/api.py", None, id="standard library"),
        pytest.param("<frozen handler.py>", None, id="frozen"),
    ],
)
def test_the_file_of_a_frame(path: str, expected: str | None) -> None:
    found = locate(REPOSITORY, a_frame(path))

    assert (found and found.path) == expected


def test_the_text_settles_which_file_is_meant() -> None:
    texts = {"one/models.py": "def other():\n    pass\n", "two/models.py": "x = 1\n\n\ndef run():\n    go()\n"}
    frame = a_frame("/srv/models.py", line=40)

    assert locate(REPOSITORY, frame, text_of=texts.get) == CodeLocation(path="two/models.py", line=5, function="run")


def test_a_file_that_holds_neither_function_nor_line_is_not_meant() -> None:
    assert locate(REPOSITORY, a_frame("/var/task/handler.py"), text_of=lambda path: "def other(): ...\n") is None


def test_the_innermost_frame_in_the_repository_counts() -> None:
    stack = (
        "Traceback (most recent call last):\n"
        '  File "/var/task/app/api.py", line 3, in route\n    price(row)\n'
        '  File "/var/task/app/orders.py", line 12, in price\n    json.loads(row)\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise JSONDecodeError()\n'
        "json.decoder.JSONDecodeError: Expecting value\n"
    )

    assert locate(REPOSITORY, stack) == CodeLocation(path="app/orders.py", line=12, function="price")
    assert locate((), stack) is None
    assert locate(REPOSITORY, "no traceback") is None


def test_a_line_that_the_head_no_longer_has_is_not_named() -> None:
    found = locate(REPOSITORY, a_frame("/var/task/handler.py"), text_of=lambda path: "def run():\n    stop()\n")

    assert found == CodeLocation(path="handler.py", line=None, function="run")


@pytest.mark.parametrize(
    ("source", "line", "function", "expected"),
    [
        pytest.param("return row['id']", 4, None, 5, id="nearest above"),
        pytest.param("return  row['id']", 30, None, 9, id="nearest below, white space apart"),
        pytest.param("return row['id']", 3, "second", 9, id="in the function"),
        pytest.param("return row['id']", 3, "third", 5, id="function renamed"),
        pytest.param("return row['name']", 5, None, None, id="gone"),
        pytest.param(" ", 5, None, None, id="no source"),
    ],
)
def test_relocate(source: str, line: int, function: str | None, expected: int | None) -> None:
    assert relocate(TEXT, source, line, function=function) == expected
