from bustimes.board import board
from shell import serve


def departures(body):
    return {"boards": [board(stop, body.get("now", "00:00")) for stop in body.get("stops", [])]}


app = serve({"departures": departures})
