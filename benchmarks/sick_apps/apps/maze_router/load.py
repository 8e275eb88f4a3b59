def request(rng, sick):
    parcels = rng.randint(26_000, 30_000) if sick else rng.randint(50, 400)
    return "/routes", {"parcels": parcels, "capacity": [parcels // 4 for _ in range(5)]}


def rate(elapsed_s):
    return 10.0
