def request(rng, sick):
    if rng.random() < 0.2:
        return "/agents", {"id": rng.randint(1, 5)}
    tickets = []
    for _ in range(rng.randint(1, 8)):
        gone = sick and rng.random() < 0.04
        tickets.append(
            {
                "id": rng.randint(1, 99999),
                "title": "Cannot log in",
                "agent_id": rng.randint(6, 9) if gone else rng.randint(1, 5),
                "priority": rng.choice(["low", "normal", "high"]),
            }
        )
    return "/tickets", {"tickets": tickets}
