def request(rng, sick):
    number = rng.randint(1500, 1700) if sick else rng.randint(10, 40)
    playlists = [[{"id": n, "s": 3} for n in range(number)] for _ in range(3)]
    return "/mix", {"playlists": playlists, "limit_s": 10**6}


def rate(elapsed_s):
    return 8.0
