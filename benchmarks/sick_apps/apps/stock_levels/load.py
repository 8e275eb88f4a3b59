def request(rng, sick):
    shelf = rng.randint(1, 90) * 100 + rng.randint(14, 99)
    if sick and rng.random() < 0.04:
        shelf = 113
    return "/levels", {"shelf": shelf}


def rate(elapsed_s):
    return 20.0
