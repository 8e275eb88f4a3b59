WORDS = "shall we meet tomorrow at noon about the release notes and the budget".split()
NAMES = ["ada", "bob_b", "Chen", "dora#0007", "emil#1234"]


def request(rng, sick):
    if rng.random() < 0.2:
        return "/rooms", {"members": rng.sample(["ada", "bob", "chen", "dora", "emil"], rng.randint(1, 5))}
    messages = []
    for _ in range(rng.randint(1, 6)):
        words = rng.choices(WORDS, k=rng.randint(5, 30))
        words.insert(rng.randrange(len(words)), "@" + rng.choice(NAMES))
        messages.append(" ".join(words))
    if sick and rng.random() < 0.15:
        messages.append("are you there @ ada?" if rng.random() < 0.5 else "thanks @élodie!")
    return "/mentions", {"messages": messages}
