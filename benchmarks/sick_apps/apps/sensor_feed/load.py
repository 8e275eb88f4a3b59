def request(rng, sick):
    if rng.random() < 0.2:
        return "/units", {"fahrenheit": rng.randint(0, 100)}
    lines = [f"t{rng.randint(1, 9)};{1000 + n};{rng.uniform(15, 25):.2f}" for n in range(rng.randint(10, 80))]
    if sick and rng.random() < 0.12:
        lines.append(f"t3;2000;{rng.choice(['OVF', 'ERR', '--'])}")
    return "/readings", {"lines": lines}
