"""What a generator is shown of an application: the relevant files, the callers, the customs."""

import pytest

from selfbuild.analysis.callers import MAX_CALLERS, find_callers
from selfbuild.analysis.conventions import conventions
from selfbuild.analysis.relevance import rank_paths
from selfbuild.domain.base import CodeLocation

SHOP = {
    "shop/orders.py": "from shop import totals\nfrom .tax import vat\n\n\ndef orders(): ...\n",
    "shop/totals.py": "import shop.money\n",
    "shop/tax.py": "",
    "shop/money.py": "ROUND = 2\n",
    "shop/app.py": "ROUTES = {'/orders': 1}\nfrom shop.web import serve\n",
    "shop/web.py": "def serve(): ...\n",
    "tools/report.py": "x = 1\n",
}


def test_named_file_comes_first_then_mentions_then_imports_then_the_rest() -> None:
    location = CodeLocation(path="shop/money.py", line=1, function=None)

    assert rank_paths(SHOP, component="orders", location=None) == (
        "shop/orders.py",
        "shop/app.py",
        "shop/totals.py",
        "shop/tax.py",
        "shop/web.py",
        "shop/money.py",
        "tools/report.py",
    )
    assert rank_paths(SHOP, component="orders", location=location)[0] == "shop/money.py"


@pytest.mark.parametrize("source", ["import a\n", "from . import b\n", "from ... import c\n", "import (\n", "\0"])
def test_imports_in_a_circle_of_the_unknown_and_of_broken_files_end(source: str) -> None:
    texts = {"a.py": source, "p/b.py": "import a\nfrom . import b\n"}

    assert set(rank_paths(texts, component="a", location=None)) == set(texts)


def test_component_is_found_as_a_part_of_a_name() -> None:
    texts = {"z.py": "def get_orders(): ...\n", "b.py": "reorders = 1\n"}

    assert rank_paths(texts, component="orders", location=None) == ("z.py", "b.py")


def test_callers_are_shown_with_their_surroundings_once() -> None:
    lines = [f"line_{n} = {n}" for n in range(40)]
    lines[10] = "a = total(1)"
    lines[14] = "b = app.total(2)"
    lines[35] = "c = total(3)"
    texts = {"app.py": "def total(x): return x\n\n\ntotal(0)\n", "use.py": "\n".join(lines), "other.py": "totals(1)\n"}

    found = find_callers(texts, {"app.py": ("Cart.total",)}, shown=["app.py"])

    assert [(each.path, each.line) for each in found] == [("use.py", 7), ("use.py", 32)]
    assert found[0].text.splitlines()[0] == "line_6 = 6"
    assert "a = total(1)" in found[0].text
    assert "b = app.total(2)" in found[0].text


def test_no_symbol_no_callers_and_never_too_many() -> None:
    texts = {f"m{n}.py": "f()\n" for n in range(20)} | {"broken.py": "f(\n"}

    assert find_callers(texts, {}, shown=[]) == ()
    assert len(find_callers(texts, {"x.py": ("f",)}, shown=[])) == MAX_CALLERS


def test_customs_are_told_from_configuration_and_code() -> None:
    project = (
        '[project]\nrequires-python = ">=3.12"\ndependencies = ["requests>=2", "rich[x]"]\n'
        "[tool.ruff]\nline-length = 100\n"
    )
    code = "import structlog\n" + "".join(
        f"def f{n}(x: int) -> str:\n    'Says it.'\n    return 'a'\n" for n in range(6)
    )

    assert conventions({"pyproject.toml": project, "a.py": code}) == (
        "Python >=3.12",
        "lines of at most 100 characters",
        "dependencies: requests, rich",
        "functions have type annotations",
        "functions have docstrings",
        "strings in single quotes",
        "logs through structlog",
    )


@pytest.mark.parametrize(
    "texts",
    [{}, {"pyproject.toml": "[project\n", "a.py": "def f(:\n"}, {"pyproject.toml": 'project = 1\ntool = "x"\n'}],
)
def test_nothing_is_said_where_nothing_can_be_told(texts: dict[str, str]) -> None:
    assert conventions(texts) == ()
