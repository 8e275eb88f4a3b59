def request(rng, sick):
    number = rng.randint(16, 22) if sick else rng.randint(1, 2)
    return "/lists", {
        "books": [{"title": f"Book {n}", "author_id": rng.randint(1, 1000), "year": 1990 + n} for n in range(number)]
    }


def rate(elapsed_s):
    return 10.0
