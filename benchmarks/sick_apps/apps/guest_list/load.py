def people(rng, number):
    return [f"Guest {rng.randint(1, 90_000)}" for _ in range(number)]


def request(rng, sick):
    if sick:
        return "/checkin", {"party": people(rng, 900), "banned": people(rng, 700)}
    return "/checkin", {"party": people(rng, 30), "banned": people(rng, 40)}


def rate(elapsed_s):
    return 18.0
