def request(rng, sick):
    number = rng.randint(1, 20) if rng.random() < 0.3 else rng.randint(1000, 10**7)
    return "/pages", {"number": number, "customer": f"Customer {number % 50}"}


def rate(elapsed_s):
    return 30.0
