"""Work that grows with the square of what is given: copies, joins, searches, removal from the front."""

import pytest

from tests.unit.recipes.checks import refused, same_answers

LISTS = ["f([])", "f([1, 2, 3])", "f([3, 3, 1])"]


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        pytest.param(
            "def f(xs):\n    out = []\n    for x in xs:\n        out = out + [x * 2]\n    return out\n",
            LISTS,
            id="list",
        ),
        pytest.param(
            "def f(xs):\n    out: list[int] = []\n    for x in xs:\n        if x > 1:\n            out = [*out, x]\n"
            "    return {'rows': out, 'n': len(out)}\n",
            LISTS,
            id="star",
        ),
        pytest.param(
            "class A:\n"
            "    def g(self, xs):\n"
            "        d = {}\n"
            "        for x in xs:\n"
            "            d = {**d, x: str(x)}\n"
            "        return d\n"
            "def f(xs):\n    return A().g(xs)\n",
            LISTS,
            id="mapping",
        ),
        pytest.param(
            (
                "def f(xs):\n"
                "    s = set()\n"
                "    i = 0\n"
                "    while i < len(xs):\n"
                "        s = s | {xs[i]}\n"
                "        i += 1\n"
                "    return s\n"
            ),
            LISTS,
            id="set",
        ),
    ],
)
def test_copies_in_a_loop_grow_in_place(source: str, calls: list[str]) -> None:
    same_answers("quadratic_copy", source, calls)


@pytest.mark.parametrize(
    "body",
    [
        "    out = start\n    for x in xs:\n        out = out + [x]\n    return out\n",
        (
            "    out = []\n"
            "    kept = []\n"
            "    for x in xs:\n"
            "        out = out + [x]\n"
            "        kept.append(out)\n"
            "    return kept\n"
        ),
        "    out = []\n    for x in xs:\n        old = out\n        out = out + [x]\n    return out, old\n",
        "    out = []\n    for x in xs:\n        out = out + x\n    return out\n",
        "    out = []\n    for x in xs:\n        out = out + [len(out)]\n    return out\n",
        "    out = []\n    out = out + [xs]\n    return out\n",
        "    out = 0\n    for x in xs:\n        out = out + [x]\n    return out\n",
        "    out = []\n    for x in xs:\n        out = out + [x]\n        yield out\n",
    ],
    ids=["parameter", "snapshots", "alias", "unknown", "reads itself", "no loop", "number", "yielded"],
)
def test_copies_that_others_may_hold_stay(body: str) -> None:
    refused("quadratic_copy", f"def f(xs, start=None):\n{body}")


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        pytest.param(
            """
            def f(graph):
                queue = ["a"]
                order = []
                while queue:
                    node = queue.pop(0)
                    order.append(node)
                    for child in graph.get(node, []):
                        queue.append(child)
                return order
            """,
            ["f({'a': ['b', 'c'], 'b': ['d']})", "f({})"],
            id="breadth first",
        ),
        pytest.param(
            """
            def f(xs):
                pending = list(xs)
                total = 0
                while len(pending) > 0:
                    total += pending.pop(0)
                    if pending and pending[0] == 9:
                        break
                return total
            """,
            ["f([1, 2, 9])", "f([])"],
            id="list call",
        ),
        pytest.param(
            """
            def f(text: str) -> list[str]:
                parts: list[str] = text.split()
                out = []
                while True:
                    if not parts:
                        return out
                    out.append(parts.pop(0))
            """,
            ["f('a b c')", "f('')"],
            id="annotated",
        ),
    ],
)
def test_queues_become_deques(source: str, calls: list[str]) -> None:
    assert ".popleft()" in same_answers("front_removal", source, calls)


@pytest.mark.parametrize(
    "body",
    [
        "    q = xs\n    while q:\n        q.pop(0)\n",
        "    q = list(xs)\n    while q:\n        q.pop(0)\n    return q\n",
        "    q = list(xs)\n    while q:\n        q.pop(0)\n        q.sort()\n",
        "    q = list(xs)\n    while q:\n        use(q, q.pop(0))\n",
        "    q = list(xs)\n    while q[1:]:\n        q.pop(0)\n",
        "    q = list(xs)\n    return q.pop(0)\n",
        "    q = {0: 1}\n    while q:\n        q.pop(0)\n",
    ],
    ids=["parameter", "answered", "sorted", "passed", "slice", "no loop", "mapping"],
)
def test_lists_that_are_more_than_queues_stay(body: str) -> None:
    refused("front_removal", f"def f(xs):\n{body}")


JOIN = """
def f(orders, users):
    out = []
    for order in orders:
        for user in users:
            if user["id"] == order["user_id"]:
                out.append((order["n"], user["name"]))
    return out
"""
ORDERS = "[{'n': 1, 'user_id': 7}, {'n': 2, 'user_id': 8}, {'n': 3, 'user_id': 'x'}]"
JOINS = [
    f"f({ORDERS}, [{{'id': 7, 'name': 'a'}}, {{'id': 8, 'name': 'b'}}, {{'id': 7, 'name': 'c'}}])",
    f"f({ORDERS}, [])",
    "f([], [{'id': 7}])",
    f"f({ORDERS}, [{{'id': [7], 'name': 'a'}}, {{'id': 8, 'name': 'b'}}])",
    f"f({ORDERS}, [{{'name': 'a'}}])",
    f"f({ORDERS}, ({{'id': 7, 'name': 'a'}},))",
    "f([{'n': 1, 'user_id': [7]}], [{'id': 7, 'name': 'a'}])",
    "f([{'n': 1}], [{'id': 7, 'name': 'a'}])",
    "f([{'n': 1, 'user_id': True}], [{'id': 1, 'name': 'a'}])",
    "f([{'n': 1}], [])",
]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(JOIN, id="statements"),
        pytest.param(
            """
            def f(orders, users):
                out = []
                for order in orders:
                    wanted = order["user_id"]
                    mine = [u for u in users if wanted == u["id"] and u]
                    out.append([m["name"] for m in mine])
                return out
            """,
            id="comprehension",
        ),
        pytest.param(
            """
            def f(orders: list, users: list) -> list:
                out: list = []
                for order in orders:
                    user = next((u for u in users if u["id"] == order["user_id"]), None)
                    out.append(user["name"] if user else None)
                return out
            """,
            id="next",
        ),
        pytest.param(
            """
            class Join:
                def rows(self, orders, users):
                    return [[u["name"] for u in users if u.get("id") == o["user_id"]] for o in orders]
            def f(orders, users):
                return Join().rows(orders, users)
            """,
            id="nested comprehensions",
        ),
    ],
)
def test_join_answers_as_the_nested_loops_do(source: str) -> None:
    assert "_rows_by(users" in same_answers("nested_join", source, JOINS)


@pytest.mark.parametrize(
    "source",
    [
        JOIN.replace("            if", "            seen = 1\n            if"),
        JOIN.replace('user["id"] ==', 'user["id"] >'),
        JOIN.replace('out.append((order["n"], user["name"]))', 'user["id"] = 1'),
        JOIN.replace('out.append((order["n"], user["name"]))', "change(user)"),
        JOIN.replace('out.append((order["n"], user["name"]))', "users.append(order)"),
        JOIN.replace('order["user_id"]', "compute(order)"),
        'def f(users, wanted):\n    for user in users:\n        if user["id"] == wanted:\n            return user\n',
        JOIN.replace("out.append((", "return 1\n        else:\n            out.append(("),
    ],
    ids=["more work", "order", "row changes", "row passed", "rows change", "computed", "once", "else"],
)
def test_loops_that_are_no_join_stay(source: str) -> None:
    refused("nested_join", source.replace("return 1\n        else:\n            out.append((", "return 1\n"))


SEARCH = """
def f(xs, ys):
    out = []
    for x in xs:
        if x in ys:
            out.append(x)
    return out
"""
SEARCHES = [
    "f([1, 'a', 2.0, None], [1, 2, 'a'])",
    "f([], [1])",
    "f([1, [2]], [[2], 1])",
    "f(['a', 'bc'], 'abc')",
    "f([1], {1: 2})",
    "f([1], 5)",
    "f([], 5)",
    "f([[1]], [1, 2])",
]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SEARCH, id="statements"),
        pytest.param("def f(xs, ys):\n    return [x for x in xs if x not in ys]\n", id="comprehension"),
        pytest.param(
            "class A:\n"
            "    def g(self, xs, ys):\n"
            "        n = 0\n"
            "        for x in xs:\n"
            "            n += x in ys\n"
            "        return n\n"
            "def f(xs, ys):\n    return A().g(xs, ys)\n",
            id="method",
        ),
        pytest.param(
            (
                "def f(xs, rows):\n"
                "    ys = [y for y in rows]\n"
                "    for x in xs:\n"
                "        if x in ys and x:\n"
                "            return x\n"
            ),
            id="local",
        ),
    ],
)
def test_search_in_a_fixed_list_answers_the_same(source: str) -> None:
    assert "_index" in same_answers("searched_list", source, SEARCHES)


@pytest.mark.parametrize(
    "source",
    [
        SEARCH.replace("out.append(x)", "ys.append(x)"),
        SEARCH.replace("out.append(x)", "ys = [x]"),
        SEARCH.replace("out.append(x)", "keep(ys)"),
        SEARCH.replace("x in ys", "next(x) in ys"),
        "def f(x, ys):\n    return x in ys\n",
        "def f(xs):\n    ys = {1, 2}\n    return [x for x in xs if x in ys]\n",
        "def f(xs):\n    ys = ['a', 'b']\n    return [x for x in xs if x in ys]\n",
        "def f(xs, ys: set):\n    return [x for x in xs if x in ys]\n",
    ],
    ids=["grows", "set anew", "passed on", "computed", "no loop", "set", "short", "annotated set"],
)
def test_other_searches_stay(source: str) -> None:
    refused("searched_list", source)


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        pytest.param(
            """
            def f(xs, ys):
                out = []
                for x in xs:
                    ranked = sorted(ys)
                    out.append(ranked[0] + x)
                return out
            """,
            ["f([1, 2], [5, 4])", "f([], [])", "f([], [2, 1])"],
            id="sorted",
        ),
        pytest.param(
            """
            def f(rows, limits):
                found = []
                for row in rows:
                    names = {limit["name"] for limit in limits}
                    if row in names:
                        found.append(row)
                return found
            """,
            ["f(['a', 'b'], [{'name': 'b'}])", "f([], [])"],
            id="set comprehension",
        ),
        pytest.param(
            """
            class Share:
                def of(self, amounts):
                    return [round(amount / sum(amounts), 2) for amount in amounts]
            def f(amounts):
                return Share().of(amounts)
            """,
            ["f([1, 2, 3])", "f([])"],
            id="sum in a comprehension",
        ),
        pytest.param(
            """
            RATES = [("a", 1), ("b", 2)]
            def f(xs):
                total = 0
                for x in xs:
                    total += dict(RATES)[x]
                return total
            """,
            ["f(['a', 'b', 'a'])", "f([])", "f(['z'])"],
            id="constant",
        ),
        pytest.param(
            """
            def f(xs, ys):
                n = 0
                for x in xs:
                    best = sorted(ys, key=lambda y: y["p"])
                    for y in best:
                        n += y["p"] * x
                return n
            """,
            ["f([1, 2], [{'p': 3}, {'p': 1}])", "f([], [])"],
            id="key",
        ),
    ],
)
def test_same_work_in_every_turn_is_done_once(source: str, calls: list[str]) -> None:
    same_answers("loop_invariant", source, calls)


@pytest.mark.parametrize(
    "body",
    [
        "    for x in xs:\n        ys.append(x)\n        use(sorted(ys))\n",
        "    for x in xs:\n        out = sorted(ys)\n        out.append(x)\n",
        "    for x in xs:\n        use(sorted(ys))\n",
        "    for x in xs:\n        n = sum(load(y) for y in ys)\n        print(n)\n",
        "    for x in xs:\n        n = max(ys)\n        print(n)\n",
        "    for x in xs:\n        n = sorted(x)\n        print(n[0])\n",
        "    n = sorted(ys)\n    return n\n",
        "    for x in xs:\n        n = sorted(ys, key=lambda y: y['a'])\n        n[0]['a'] += 1\n",
        "    ys = iter(xs)\n    for x in xs:\n        n = sorted(ys)\n        print(n[0])\n",
    ],
    ids=["changes", "answer changes", "kept", "calls", "may fail", "differs", "no loop", "elements change", "iterator"],
)
def test_work_that_may_differ_stays(body: str) -> None:
    refused("loop_invariant", f"def f(xs, ys):\n{body}")
