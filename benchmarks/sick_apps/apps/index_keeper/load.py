WORDS = "red green blue house car boat tree river stone cloud".split()


def request(rng, sick):
    if rng.random() < 0.2:
        return "/documents", {"id": rng.randint(1, 9999), "text": " ".join(rng.choices(WORDS, k=6))}
    return "/search", {"word": rng.choice(WORDS)}


def rate(elapsed_s):
    return 25.0
