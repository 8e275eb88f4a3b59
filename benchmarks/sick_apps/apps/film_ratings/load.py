def request(rng, sick):
    if rng.random() < 0.2:
        return "/votes", {"votes": [rng.randint(1, 5) for _ in range(rng.randint(0, 40))]}
    films = []
    for n in range(rng.randint(2, 10)):
        films.append({"title": f"Film {n}", "votes": [rng.randint(1, 5) for _ in range(rng.randint(3, 60))]})
    if sick and rng.random() < 0.12:
        films[0]["votes"] = []  # a premiere
    return "/ratings", {"films": films}
