def interest_total(amount: int, rate_basis_points: int, months: int) -> int:
    """Interest in cents over the whole term, rounded month by month as the contract says."""
    payment = amount * (10_000 * 12 + rate_basis_points * months // 2) // (10_000 * 12 * months) + 1
    left, interest = amount, 0
    while left > 0:
        due = left * rate_basis_points // (10_000 * 12)
        interest += due
        left = left + due - max(payment, due + 1)
    return interest


def cheapest(offers):
    priced = []
    for offer in offers:
        interest = interest_total(offer["amount"], offer["rate"], offer["months"])
        priced.append({"bank": offer["bank"], "interest": interest})
    return sorted(priced, key=lambda p: (p["interest"], p["bank"]))
