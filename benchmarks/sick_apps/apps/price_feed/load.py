def request(rng, sick):
    symbol = "".join(rng.choices("ABCDEFGH", k=3))
    machine = "overflow" if sick and rng.random() < 0.6 else "main"
    return "/prices", {"symbol": symbol, "machine": machine}


def rate(elapsed_s):
    return 20.0
