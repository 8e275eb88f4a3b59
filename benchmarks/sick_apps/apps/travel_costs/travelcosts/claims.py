from travelcosts import rates


def in_euro(receipt):
    if receipt["currency"] == "EUR":
        return receipt["amount"]
    return receipt["amount"] * rates.exchange_rate(receipt["currency"])


def claim(receipts):
    total = sum(in_euro(r) for r in receipts)
    return {"receipts": len(receipts), "total": round(total, 2)}
