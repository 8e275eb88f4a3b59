def average(votes):
    return sum(votes) / len(votes)


def histogram(votes):
    counts = dict.fromkeys(range(1, 6), 0)
    for vote in votes:
        counts[vote] += 1
    return counts


def stars(value):
    full = int(value)
    return "*" * full + ("+" if value - full >= 0.5 else "")
