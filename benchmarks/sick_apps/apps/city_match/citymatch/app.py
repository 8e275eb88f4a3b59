from citymatch import match as matching
from shell import serve


def match(body):
    return {"addresses": matching.match(body.get("addresses", []))}


app = serve({"match": match})
