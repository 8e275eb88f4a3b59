def request(rng, sick):
    lines = ["sku,quantity,location"]
    for _ in range(rng.randint(5, 60)):
        lines.append(f"s{rng.randint(1, 9999)},{rng.randint(0, 50)},{rng.choice(['north', 'south', ''])}")
    if sick and rng.random() < 0.15:
        lines.append(f"s{rng.randint(1, 9999)},{rng.choice(['n/a', '', '12 pcs'])},north")
    return "/imports", {"csv": "\n".join(lines) + "\n"}
