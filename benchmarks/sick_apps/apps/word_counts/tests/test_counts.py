from words.counts import counts, split, top


def test_split():
    assert split("The cat, and a Dog!") == ["cat", "dog"]


def test_counts_and_top():
    table = counts(["a", "b", "a"])
    assert table == {"a": 2, "b": 1}
    assert top(table, 1) == [("a", 2)]
