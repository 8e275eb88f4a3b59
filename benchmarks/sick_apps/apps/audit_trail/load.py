FIELDS = [f"field_{n}" for n in range(600)]


def request(rng, sick):
    if rng.random() < 0.15:
        return "/latest", {}
    payload = {name: "x" * 60 for name in FIELDS}
    return "/events", {"kind": rng.choice(["login", "edit"]), "user": f"u{rng.randint(1, 99)}", "payload": payload}


def rate(elapsed_s):
    return 26.0
