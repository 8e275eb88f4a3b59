from offers.offers import collect


def test_best_coupon_counts():
    items = [{"name": "pen", "group": "office"}]
    assert collect(items, ["5-office", "15-office", "50-toys"]) == {"pen": 15}


def test_promoted_items_bring_their_own():
    assert collect([{"name": "car", "group": "toys", "promoted": True}]) == {"car": 10}
