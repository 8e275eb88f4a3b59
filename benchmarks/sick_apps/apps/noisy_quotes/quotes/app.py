from quotes.pricing import CLAUSES, premium
from shell import BadRequest, serve


def quote(body):
    product = body.get("product")
    if product not in CLAUSES:
        raise BadRequest(f"unknown product {product!r}")
    return {"premium": premium(product, int(body.get("value", 1000)))}


app = serve({"quote": quote})
