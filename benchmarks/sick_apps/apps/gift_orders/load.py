def request(rng, sick):
    if rng.random() < 0.2:
        return "/delivery", {"country": rng.choice(["SE", "DE", "US"]), "express": rng.random() < 0.3}
    lines = [{"price": rng.randint(200, 3000), "quantity": rng.randint(1, 3)} for _ in range(rng.randint(1, 5))]
    order = {"lines": lines, "wrapping": rng.choice(["none", "paper", "box"])}
    if sick and rng.random() < 0.15:
        del order["wrapping"]
    return "/orders", order
