"""A set beside a list that is searched while it grows."""

import pytest

from tests.unit.recipes.checks import patched, refused, same_answers

TYPED = """
def distinct(words):
    seen: list[str] = []
    for word in words:
        topic = word.strip()
        if topic and topic not in seen:
            seen.append(topic)
    return seen
"""
CALLS = ["distinct(['b', 'a ', '', 'b', 'c', 'a'])", "distinct([])", "distinct([1])"]
MIXED = ["f([3, 'a', 3, True, 1.0, 1, 'a', None, None])", "f([])", "f([[1], [1], [2]])", "f('abca')"]


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        pytest.param(TYPED, CALLS, id="annotated"),
        pytest.param(TYPED.replace(": list[str]", ""), CALLS, id="not annotated"),
        pytest.param(TYPED.replace(": list[str] = []", " = list()"), CALLS, id="list call"),
        pytest.param(
            (
                "def f(xs):\n"
                "    out = []\n"
                "    for x in xs:\n"
                "        if x not in out:\n"
                "            out.append(x)\n"
                "    return out\n"
            ),
            MIXED,
            id="anything",
        ),
        pytest.param(
            """
            def f(xs):
                seen, = [None],
                done = []
                count = 0
                for x in xs:
                    if x in done:
                        count += 1
                        continue
                    done.append(x)
                return done, count
            """,
            MIXED,
            id="continue",
        ),
        pytest.param(
            """
            class Catalogue:
                def tags(self, rows):
                    found = []
                    for row in rows:
                        if row["tag"].lower() not in found:
                            found.append(row["tag"].lower())
                    return sorted(found)
            def f(tags):
                return Catalogue().tags([{"tag": tag} for tag in tags])
            """,
            ["f(['A', 'a', 'b'])", "f([1])", "f([])"],
            id="method and computed",
        ),
        pytest.param(
            """
            DONE = []
            def f(event):
                if event in DONE:
                    return False
                DONE.append(event)
                return len(DONE)
            """,
            ["f(1)", "f(1)", "f('a')", "f([1])", "f([1])", "f(True)", "f('a')"],
            id="module",
        ),
        pytest.param(
            """
            class Seen:
                def __init__(self):
                    self.ids = []
                def add(self, order):
                    if order["id"] not in self.ids:
                        self.ids.append(order["id"])
                    return self.ids[-1]
            s = Seen()
            """,
            ["s.add({'id': 1})", "s.add({'id': 1})", "s.add({'id': []})", "len(s.ids)"],
            id="attribute",
        ),
    ],
)
def test_index_answers_as_the_list_does(source: str, calls: list[str]) -> None:
    assert "_index" in same_answers("list_membership", source, calls)


def test_annotated_list_has_a_plain_index() -> None:
    changed = patched("list_membership", TYPED)

    assert "seen_index: set[str] = set()\n" in changed
    assert "topic not in seen_index:" in changed


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(TYPED.replace("= []", "= list(words)"), "no list is searched", id="computed start"),
        pytest.param(TYPED.replace("return seen", "seen.sort()\n    return seen"), "may change", id="sorted in place"),
        pytest.param(TYPED.replace("return seen", "other = seen\n    return other"), "may change", id="aliased"),
        pytest.param(TYPED.replace("return seen", "keep(seen)\n    return seen"), "may change", id="passed on"),
        pytest.param(TYPED.replace("return seen", "yield seen"), "may change", id="yielded"),
        pytest.param(TYPED.replace("return seen", "return lambda: seen"), "inner function", id="captured"),
        pytest.param(TYPED.replace("append(topic)", "append(next(word))"), "something computed", id="computed"),
        pytest.param(TYPED.replace("topic not in seen", "words not in seen"), "may not be hashable", id="other value"),
        pytest.param(
            "def f(a):\n    seen: list[str] = []\n    seen.append(a)\n    return a in seen\n",
            "no membership test in a loop",
            id="no loop",
        ),
        pytest.param(
            "def f(w):\n    seen: list[str] = []\n    for a in w:\n        if a not in seen: seen.append(a)\n",
            "shares its line",
            id="one line",
        ),
        pytest.param(
            """
            def f(rows):
                out = []
                for row in rows:
                    if row not in out and row["id"]:
                        out.append(row)
                return out
            """,
            "mapping",
            id="rows of mappings",
        ),
        pytest.param(
            "SEEN = []\ndef f(x):\n    if x not in SEEN:\n        SEEN.append(x)\ndef reset():\n    SEEN.clear()\n",
            "may change",
            id="module list cleared",
        ),
    ],
)
def test_list_is_left_alone(source: str, reason: str) -> None:
    assert reason in refused("list_membership", source)
