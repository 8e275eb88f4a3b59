def request(rng, sick):
    return "/uploads", {"text": "x" * rng.randint(10, 5000)}


def rate(elapsed_s):
    return 9.0
