FIRST = ["Ada", "Ben", "Chen", "Dora", "Emil", "Fatou", "Grace", "Hugo"]


def request(rng, sick):
    names = [f"{rng.choice(FIRST)} {rng.randint(1, 99_999)}" for _ in range(60 if sick else 2)]
    lines = [
        f"order of {rng.choice(names)} paid with 4111 1111 1111 {rng.randint(1000, 9999)}"
        for _ in range(60 if sick else 3)
    ]
    return "/redact", {"names": names, "lines": lines}


def rate(elapsed_s):
    return 15.0
