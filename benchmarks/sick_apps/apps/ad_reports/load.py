def request(rng, sick):
    campaigns = []
    for n in range(rng.randint(3, 12)):
        shown = rng.randint(100, 50_000)
        campaigns.append(
            {"name": f"c{n}", "shown": shown, "clicks": rng.randint(0, shown // 50), "spent": rng.random() * 90}
        )
    if sick and rng.random() < 0.1:
        campaigns.append({"name": "new", "shown": 0, "clicks": 0, "spent": 0})
    return "/campaigns", {"campaigns": campaigns}
