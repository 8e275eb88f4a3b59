def request(rng, sick):
    lines = []
    for _ in range(rng.randint(1200, 1500) if sick else rng.randint(5, 40)):
        lines.append({"net": rng.randint(1, 90), "category": rng.choice(["standard", "food", "books"])})
    return "/invoices", {"country": rng.choice(["DE", "FR", "SE"]), "lines": lines}


def rate(elapsed_s):
    return 15.0
