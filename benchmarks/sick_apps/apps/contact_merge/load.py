def book(rng, number):
    return [{"email": f"user{rng.randint(1, 20_000)}@mail.example", "name": "Some  Body"} for _ in range(number)]


def request(rng, sick):
    number = rng.randint(380, 440) if sick else rng.randint(5, 25)
    return "/merge", {"books": [book(rng, number), book(rng, number)]}


def rate(elapsed_s):
    return 15.0
