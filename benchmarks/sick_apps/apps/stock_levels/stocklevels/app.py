from shell import serve
from stocklevels.levels import level


def levels(body):
    pieces = level(int(body.get("shelf", 1)))
    return {"pieces": pieces, "known": pieces is not None}


app = serve({"levels": levels})
