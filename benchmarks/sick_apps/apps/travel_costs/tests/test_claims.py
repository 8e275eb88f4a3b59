from travelcosts import rates
from travelcosts.claims import claim


def test_claim(monkeypatch):
    monkeypatch.setattr(rates, "exchange_rate", lambda currency: {"USD": 0.5}[currency])
    receipts = [{"currency": "USD", "amount": 10}, {"currency": "EUR", "amount": 2.255}]
    assert claim(receipts) == {"receipts": 2, "total": 7.25}


def test_nothing_to_claim():
    assert claim([]) == {"receipts": 0, "total": 0}
