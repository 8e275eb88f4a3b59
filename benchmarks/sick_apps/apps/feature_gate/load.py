NAMES = ["checkout-v2", "dark-mode", "beta-search", "new-cart", "fast-login", "old-editor", "map-tiles", "one-click"]


def request(rng, sick):
    names = [
        f"{rng.choice(NAMES)}{'' if n < 3 else n}" for n in range(rng.randint(280, 340) if sick else rng.randint(2, 8))
    ]
    return "/flags", {"user": f"u{rng.randint(1, 9999)}", "flags": names}


def rate(elapsed_s):
    return 14.0
