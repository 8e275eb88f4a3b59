def request(rng, sick):
    stops = []
    for n in range(rng.randint(1, 5)):
        times = [f"{rng.randint(5, 22):02}:{rng.randint(0, 59):02}" for _ in range(rng.randint(5, 30))]
        stops.append(
            {"name": f"Stop {n}", "timetable": [{"at": t, "line": rng.choice("123M")} for t in [*times, "22:59"]]}
        )
    late = sick and rng.random() < 0.12
    return "/departures", {"stops": stops, "now": "23:30" if late else f"{rng.randint(5, 21):02}:30"}
