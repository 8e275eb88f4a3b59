from scores.podium import gap, podium as podium_of
from shell import serve


def podium(body):
    return {"races": [{"name": r["name"], **podium_of(r), "gap": gap(r)} for r in body.get("races", [])]}


app = serve({"podium": podium})
