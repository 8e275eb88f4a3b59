LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWX"


def request(rng, sick):
    skus = []
    for _ in range(rng.randint(90, 110) if sick else rng.randint(1, 4)):
        family = rng.choice(LETTERS) + rng.choice(LETTERS) if sick else rng.choice(["AB", "AC"])
        skus.append(
            f"{family}-{rng.choice(['S', 'M', 'XL'])}-{rng.choice(['red', 'green'])}-{rng.randint(10000, 99999)}"
        )
    return "/lint", {"skus": skus}


def rate(elapsed_s):
    return 12.0
