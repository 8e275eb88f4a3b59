"""Values that are not there: the policy's value, at the place the traceback names."""

import pytest

from selfbuild.domain.applications import RecipePolicy
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from tests.unit.recipes.checks import outcome_of, patched, refused, same_answers
from tests.unit.recipes.requests import a_key_error, a_request

ACTIONS = """
def actions(items):
    for item in items:
        owner = item["owner"]
        print(owner, item["text"])
"""


def test_missing_key_reads_with_the_default_of_the_policy() -> None:
    assert patched("missing_key", ACTIONS, a_key_error()) == ACTIONS.replace(
        'item["owner"]', 'item.get("owner", "unassigned")'
    )


def test_missing_key_expects_the_errors_to_go() -> None:
    effect = getattr(outcome_of("missing_key", ACTIONS, a_key_error()), "expected_effect", None)

    assert effect is not None
    assert (effect.component, effect.kind) == ("orders", "errors_gone")


def test_missing_key_takes_the_read_on_the_line_of_the_traceback() -> None:
    source = 'def actions(a, b):\n    x = a["owner"]\n    y = b["owner"]\n    return x, y\n'

    assert patched("missing_key", source, a_key_error(line=3)).count(".get(") == 1
    assert "several different reads" in refused("missing_key", source, a_key_error())


def test_missing_key_reads_a_number_of_the_policy() -> None:
    request = a_key_error("weight").model_copy(update={"recipes": RecipePolicy(value_defaults={"weight": 0.5})})

    assert (
        patched("missing_key", 'def actions(x):\n    return x["weight"]\n', request).count('.get("weight", 0.5)') == 1
    )


@pytest.mark.parametrize(
    "source",
    [
        'class Shop:\n    def actions(self, x):\n        return x["owner"].upper()\n',
        'def outer():\n    def actions(x):\n        return [y["owner"] for y in x]\n    return actions\n',
        'def actions(x):\n    return x.body["owner"], x.body["owner"]\n',
    ],
    ids=["method", "inner function", "attribute"],
)
def test_missing_key_is_found_in_every_shape(source: str) -> None:
    assert '.get("owner", "unassigned")' in patched("missing_key", source, a_key_error())


@pytest.mark.parametrize(
    ("source", "request_", "reason"),
    [
        pytest.param(ACTIONS, a_key_error("due"), "no default for the key 'due'", id="no default"),
        pytest.param(ACTIONS, a_key_error(function="other"), "no read of the key", id="other function"),
        pytest.param(ACTIONS, a_key_error(function=None), "names no place", id="no place"),
        pytest.param(ACTIONS, a_request(), "no KeyError", id="no error"),
        pytest.param('def actions(x):\n    x["owner"] = 1\n', a_key_error(), "stored or deleted", id="store"),
        pytest.param('def actions(x):\n    del x["owner"]\n', a_key_error(), "stored or deleted", id="delete"),
        pytest.param('def actions(x):\n    x["owner"] += "a"\n', a_key_error(), "stored or deleted", id="augmented"),
        pytest.param('def actions(x):\n    return x()["owner"]\n', a_key_error(), "no plain read", id="computed"),
        pytest.param(
            'def actions(x):\n    try:\n        return x["owner"]\n    except KeyError:\n        raise\n',
            a_key_error(),
            "a handler of KeyError",
            id="handled",
        ),
    ],
)
def test_missing_key_refuses(source: str, request_: PatchRequest, reason: str) -> None:
    assert reason in refused("missing_key", source, request_)


def failing(error: str, message: str, line: int = 2, **values: str | float | None) -> PatchRequest:
    return a_request(
        insight_type=InsightType.ERROR_PATTERN,
        error_type=error,
        error_message=message,
        line=line,
        function="f",
        policy=RecipePolicy(value_defaults=values),
    )


NONE = "'NoneType' object has no attribute 'name'"


@pytest.mark.parametrize(
    ("source", "request_", "call", "answer"),
    [
        pytest.param(
            "def f(user):\n    return user.name\n",
            failing("AttributeError", NONE, name="none"),
            "f(None)",
            "none",
            id="attribute",
        ),
        pytest.param(
            "def f(row):\n    city = row['city']\n    return city\n",
            failing("TypeError", "'NoneType' object is not subscriptable", city="?"),
            "f(None)",
            "?",
            id="subscript",
        ),
        pytest.param(
            "def f(row):\n    return row.get('tag').strip()\n",
            failing("AttributeError", "'NoneType' object has no attribute 'strip'", tag=""),
            "f({})",
            "",
            id="method of get",
        ),
        pytest.param(
            "def f(xs):\n    first = xs[0]\n    return first\n",
            failing("IndexError", "list index out of range", first=None),
            "f([])",
            None,
            id="index",
        ),
        pytest.param(
            "def f(a, b):\n    return a / b\n",
            failing("ZeroDivisionError", "division by zero", f=0.0),
            "f(1, 0)",
            0.0,
            id="division",
        ),
        pytest.param(
            "def f(a, b):\n    mean = sum(a) / len(a)\n    return mean\n",
            failing("ZeroDivisionError", "division by zero", mean=0),
            "f([], 0)",
            0,
            id="mean",
        ),
        pytest.param(
            "def f(raw):\n    page = int(raw)\n    return page\n",
            failing("ValueError", "invalid literal for int() with base 10: 'x'", page=1),
            "f('x')",
            1,
            id="number",
        ),
        pytest.param(
            "def f(user):\n    who = user.name\n    if user:\n        user.seen = 1\n    return who + user.team\n",
            failing("AttributeError", NONE, name="none", team="!"),
            "f(None)",
            "none!",
            id="again on a later line",
        ),
        pytest.param(
            "def f(found):\n    return [found['name'], found['id']]\n",
            failing("TypeError", "'NoneType' object is not subscriptable", name="?", id=0),
            "f(None)",
            ["?", 0],
            id="twice on the line",
        ),
        pytest.param(
            "def f(xs):\n    return {'at': xs[0]['at']}\n",
            failing("IndexError", "list index out of range", at=""),
            "f([])",
            {"at": ""},
            id="more is read of it",
        ),
        pytest.param(
            "def f(xs, i):\n    runner = xs[i]['runner']\n    return runner\n",
            failing("IndexError", "list index out of range", runner="nobody"),
            "[f([{'runner': 'a'}, {'runner': 'b'}], i) for i in (0, 1, 2, -2, -3)]",
            ["a", "b", "nobody", "a", "nobody"],
            id="index in a variable",
        ),
        pytest.param(
            "def f(row):\n    degrees = float(row[int(row[0])])\n    return degrees\n",
            failing("ValueError", "could not convert string to float: 'warm'", degrees=-1.0),
            "f(['1', 'warm'])",
            -1.0,
            id="the message tells which conversion",
        ),
    ],
)
def test_policy_gives_the_value_that_is_missing(source: str, request_: PatchRequest, call: str, answer: object) -> None:
    space: dict[str, object] = {}
    exec(patched("missing_value", source, request_), space)

    assert eval(call, space) == answer


def test_values_that_are_there_are_kept() -> None:
    request = failing("ZeroDivisionError", "division by zero", f=0.0)

    same_answers("missing_value", "def f(a, b):\n    return a / b\n", ["f(1, 2)", "f(0, 3)", "f('a', 1)"], request)


@pytest.mark.parametrize(
    ("source", "request_", "reason"),
    [
        ("def f(u):\n    return u.name\n", failing("AttributeError", NONE), "gives no value"),
        ("def f(u):\n    return u.name\n", failing("AttributeError", NONE, line=3, name="x"), "nothing that can fail"),
        ("def f(u, v):\n    return u.name + v.name\n", failing("AttributeError", NONE, name="x"), "which one"),
        ("def f(u):\n    return u().name\n", failing("AttributeError", NONE, name="x"), "evaluated twice"),
        ("def f(u):\n    u.name = 1\n", failing("AttributeError", NONE, name="x"), "more is done"),
        ("def f(u):\n    return u.name\n", failing("OSError", "no", name="x"), "no missing value"),
        (
            "def f(u):\n    x = u.name\n    return x, u.team\n",
            failing("AttributeError", NONE, name="x"),
            "no value for team",
        ),
        ("def f(xs):\n    return xs[0].pop()\n", failing("IndexError", "list index out of range", f=1), "more is done"),
        ("def f(u):\n    return g(int(u))\n", failing("ValueError", "invalid literal for int()", u=1), "by itself"),
    ],
    ids=[
        "no policy",
        "other line",
        "two",
        "computed",
        "store",
        "other error",
        "no value for the next",
        "a call of it",
        "in a call",
    ],
)
def test_missing_value_refuses(source: str, request_: PatchRequest, reason: str) -> None:
    assert reason in refused("missing_value", source, request_)
