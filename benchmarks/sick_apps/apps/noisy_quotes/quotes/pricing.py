"""Insurance quotes; some products simply have far more clauses than others."""

import hashlib

CLAUSES = {"bike": 40, "car": 300, "home": 900, "fleet": 4000}


def premium(product, value):
    digest = str(value).encode()
    for _ in range(CLAUSES[product]):
        digest = hashlib.sha256(digest).digest()
    return value // 100 + digest[0]
