def request(rng, sick):
    guests, free = (40, 420) if sick else (6, 30)
    seats = [{"row": rng.randint(1, 40), "number": n, "base": rng.randint(20, 90)} for n in range(free)]
    return "/seating", {
        "guests": [{"name": f"g{n}", "budget": rng.randint(20, 130)} for n in range(guests)],
        "seats": seats,
    }


def rate(elapsed_s):
    return 12.0
