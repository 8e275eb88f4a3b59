def request(rng, sick):
    form = {"mail": f"user{rng.randint(1, 999)}@x.example", "name": "Some Body", "age": rng.randint(18, 90)}
    if rng.random() < 0.33:
        form[rng.choice(["mail", "name", "age"])] = ""
    return "/forms", form


def rate(elapsed_s):
    return 25.0
