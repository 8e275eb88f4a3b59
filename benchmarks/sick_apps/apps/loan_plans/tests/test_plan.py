from loans.plan import cheapest, interest_total


def test_no_interest_at_zero():
    assert interest_total(100_000, 0, 12) == 0


def test_longer_costs_more():
    assert 0 < interest_total(500_000, 400, 12) < interest_total(500_000, 400, 60)


def test_cheapest_first():
    offers = [
        {"bank": "B", "amount": 100_000, "rate": 500, "months": 24},
        {"bank": "A", "amount": 100_000, "rate": 300, "months": 24},
    ]
    assert [p["bank"] for p in cheapest(offers)] == ["A", "B"]
