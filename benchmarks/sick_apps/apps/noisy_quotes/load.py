def request(rng, sick):
    product = rng.choices(["bike", "car", "home", "fleet"], [5, 4, 2, 1])[0]
    return "/quote", {"product": product, "value": rng.randint(1000, 90_000)}


def rate(elapsed_s):
    return 20.0
