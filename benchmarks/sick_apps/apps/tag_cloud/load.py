def request(rng, sick):
    if rng.random() < 0.2:
        return "/ping", {"ping": rng.randint(1, 9)}
    number = rng.randint(1200, 1500) if sick else rng.randint(20, 60)
    documents = [{"tags": [f"#Tag{rng.randint(1, 50_000)}" for _ in range(number // 4)]} for _ in range(4)]
    return "/tags", {"documents": documents}
