def request(rng, sick):
    groups = ["toys", "office", "garden"]
    items = [
        {"name": f"i{n}", "group": rng.choice(groups), "promoted": rng.random() < 0.7}
        for n in range(rng.randint(6, 10))
    ]
    body = {"items": items}
    if not sick:
        body["coupons"] = [f"{rng.randint(1, 30)}-{rng.choice(groups)}" for _ in range(3)]
    return "/offers", body


def rate(elapsed_s):
    return 16.0
