def request(rng, sick):
    number = rng.randint(9, 12) if sick else 1
    return "/cards", {"ids": rng.sample(range(1, 5000), number)}


def rate(elapsed_s):
    return 8.0
