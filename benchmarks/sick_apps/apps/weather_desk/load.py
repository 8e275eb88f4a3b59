def request(rng, sick):
    if rng.random() < 0.15:
        return "/units", {"celsius": rng.randint(-20, 40)}
    return "/forecast", {"stations": [{"id": rng.randint(1, 400), "throttled": sick}]}


def rate(elapsed_s):
    return 42.0
