def request(rng, sick):
    if rng.random() < 0.15:
        return "/zones", {"country": rng.choice(["DE", "FR", "US"])}
    parcels = []
    for _ in range(rng.randint(1, 4)):
        to = {
            "name": f"Customer {rng.randint(1, 999)}",
            "zip": "10115",
            "city": "Berlin",
            "country": rng.choice(["DE", "AT", "US"]),
        }
        parcels.append(
            {"to": to, "dimensions": {"weight_g": rng.randint(50, 8000), "length_mm": rng.randint(100, 600)}}
        )
    if sick and rng.random() < 0.12:
        del parcels[-1]["dimensions"]["weight_g"]
    return "/labels", {"parcels": parcels}
