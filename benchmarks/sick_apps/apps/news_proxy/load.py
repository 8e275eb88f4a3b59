def request(rng, sick):
    return "/headlines", {"feed": f"{'archive' if sick else 'today'}/{rng.randint(1, 99)}"}


def rate(elapsed_s):
    return 44.0
