from seats.plan import affordable
from shell import serve


def seating(body):
    answer = affordable(body.get("guests", []), body.get("seats", []))
    return {"guests": answer, "without": sum(1 for a in answer.values() if a["best"] is None)}


app = serve({"seating": seating})
