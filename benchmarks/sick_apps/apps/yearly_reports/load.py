def request(rng, sick):
    path = "/reports" if rng.random() < 0.25 else "/summaries"
    return path, {"year": rng.randint(2000, 2026), "rows": [rng.randint(1, 999) for _ in range(rng.randint(5, 50))]}


def rate(elapsed_s):
    return 15.0
