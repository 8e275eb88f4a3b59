def request(rng, sick):
    return "/sessions", {"session": rng.randint(1, 10**6), "lines": [f"event {n}" for n in range(rng.randint(1, 5))]}


def rate(elapsed_s):
    return 9.0
