def request(rng, sick):
    offers = []
    for _ in range(rng.randint(220, 260) if sick else rng.randint(4, 8)):
        offers.append(
            {
                "bank": f"Bank {rng.randint(1, 40)}",
                "amount": 20_000_000,
                "rate": rng.choice([300, 350, 400]),
                "months": rng.choice([240, 360]),
            }
        )
    return "/plans", {"offers": offers}


def rate(elapsed_s):
    return 12.0
