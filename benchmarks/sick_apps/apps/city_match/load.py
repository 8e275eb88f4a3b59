TYPED = ["Berlin", "Hambrug", "Munich", "Kologne", "Frankfurt ", "stutgart", "Leipzig", "Bremen", "Drseden", "Bonn"]


def request(rng, sick):
    number = rng.randint(50, 60) if sick else rng.randint(1, 3)
    addresses = [{"street": f"Road {rng.randint(1, 99)}", "city": rng.choice(TYPED)} for _ in range(number)]
    return "/match", {"addresses": addresses}


def rate(elapsed_s):
    return 12.0
