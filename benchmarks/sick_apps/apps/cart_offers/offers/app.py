from offers.offers import collect
from shell import serve


def offers(body):
    items = body.get("items", [])
    if body.get("coupons") is not None:
        return {"percent": collect(items, body["coupons"])}
    return {"percent": collect(items)}


app = serve({"offers": offers})
