def request(rng, sick):
    races = []
    for n in range(rng.randint(1, 4)):
        few = sick and rng.random() < 0.06
        results = [
            {"runner": f"R{i}", "time": f"{rng.randint(17, 40)}:{rng.uniform(0, 59):.1f}", "dnf": few and i >= 2}
            for i in range(rng.randint(8, 40))
        ]
        races.append({"name": f"Race {n}", "results": results})
    return "/podium", {"races": races}
