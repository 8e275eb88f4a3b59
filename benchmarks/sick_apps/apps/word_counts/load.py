def request(rng, sick):
    number = rng.randint(1300, 1500) if sick else rng.randint(20, 80)
    return "/counts", {"text": " ".join(f"w{rng.randint(1, 900)}" for _ in range(number))}


def rate(elapsed_s):
    return 12.0
