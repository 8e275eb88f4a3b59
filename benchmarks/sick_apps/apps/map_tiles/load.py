def request(rng, sick):
    return "/tiles", {"x": rng.randint(1, 4096), "y": rng.randint(1, 4096), "zoom": 12}


def rate(elapsed_s):
    return 26.0
