"""Which functions a patch changes, and which faults can be put into a source."""

import ast

import pytest

from selfbuild.adapters.gate.behaviour.inputs import Inputs
from selfbuild.gate.changes import changed_functions
from selfbuild.gate.mutation import mutants_of

TEXT = '''"""Orders."""
LIMIT = 10


def total(rows):
    return sum(rows)


class Basket:
    unit = "g"

    def weight(self):
        return 1

    async def load(self):
        def inner():
            return LIMIT

        return inner()
'''


def changed(search: str, replace: str) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
    found = changed_functions({"a.py": TEXT}, {"a.py": TEXT.replace(search, replace)})
    return [(each.qualified_name, each.changed_lines) for each in found]


@pytest.mark.parametrize(
    ("search", "replace", "names"),
    [
        pytest.param("sum(rows)", "sum(rows) + 0", [("total", ((6, 6),))], id="own line"),
        pytest.param("LIMIT = 10", "LIMIT = 11", [("Basket.load", ())], id="constant it uses"),
        pytest.param("return LIMIT", "return LIMIT + 1", [("Basket.load", ((17, 17),))], id="nested function"),
        pytest.param('unit = "g"', 'unit = "kg"', [("Basket.weight", ()), ("Basket.load", ())], id="class attribute"),
        pytest.param("    return sum(rows)", "    # all\n    return sum(rows)", [], id="comment"),
        pytest.param("def total", "def added():\n    pass\n\n\ndef total", [], id="added function"),
    ],
)
def test_functions_that_may_behave_differently(
    search: str, replace: str, names: list[tuple[str, tuple[tuple[int, int], ...]]]
) -> None:
    assert changed(search, replace) == names


def test_text_that_is_no_python_has_none() -> None:
    assert changed_functions({"a.py": TEXT, "b.txt": "a"}, {"a.py": "def (", "b.txt": "b"}) == ()


def test_faults_stand_on_the_wanted_lines_and_change_the_text() -> None:
    text = (
        "def f(a, b):\n    '''Say.'''\n    if a < 3 and not b:\n        g(a, b)\n        return a - 1\n    return b\n"
    )

    found = mutants_of(text, [(3, 4)])

    assert {each.line for each in found} == {3, 4}
    assert len({each.text for each in found}) == len(found) >= 6
    assert all(ast.dump(ast.parse(each.text)) != ast.dump(ast.parse(text)) for each in found)
    assert {"and for or on line 3", "Lt for LtE on line 3", "first two arguments swapped on line 4"} <= {
        each.description for each in found
    }
    assert [each.text for each in mutants_of(text, [(3, 4)], limit=3)] == [
        found[place * len(found) // 3].text for place in range(3)
    ]


def test_made_up_arguments_lie_around_constants_and_are_repeatable() -> None:
    text = "def f(n: int, name: str = 'x', *, rows: list[int] | None = None):\n    return n >= 730 and name == 'gold'\n"

    def made(seed: str) -> list[str]:
        inputs = Inputs(text, module="m", seed=seed)
        definition = inputs.definition("f")
        assert definition is not None
        return [repr((each.positional, dict(each.named))) for each in inputs.calls(definition, 120)]

    joined = " ".join(made("a"))
    assert made("a") == made("a") != made("b")
    assert all(word in joined for word in ("729", "730", "731", "'gold'", "{'rows': None}", "{'list': []}"))
