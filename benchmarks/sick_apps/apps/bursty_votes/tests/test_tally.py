from votes.tally import receipt, tally


def test_tally():
    assert tally([{"choice": "a"}, {"choice": "b"}, {"choice": "a"}]) == {"a": 2, "b": 1}


def test_receipts_differ():
    assert receipt({"choice": "a"}) != receipt({"choice": "b"})
