def request(rng, sick):
    number = rng.randint(9, 13) if sick else rng.randint(1, 2)
    receipts = [{"currency": rng.choice(["USD", "GBP", "SEK"]), "amount": rng.randint(5, 300)} for _ in range(number)]
    return "/claims", {"receipts": receipts}


def rate(elapsed_s):
    return 9.0
