def request(rng, sick):
    return "/votes", {
        "ballots": [{"choice": rng.choice("abc"), "n": rng.randint(1, 10**6)} for _ in range(rng.randint(1, 4))]
    }


def rate(elapsed_s):
    return 45.0 if elapsed_s % 14 < 4 else 11.0
