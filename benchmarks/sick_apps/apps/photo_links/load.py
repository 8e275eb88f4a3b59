def request(rng, sick):
    number = rng.randint(6, 8) if sick else 1
    return "/links", {
        "album": {"owner": f"user{rng.randint(1, 500)}", "photos": [str(rng.randint(1, 999)) for _ in range(number)]}
    }


def rate(elapsed_s):
    return 6.0
