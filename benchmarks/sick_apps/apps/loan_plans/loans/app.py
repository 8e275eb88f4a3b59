from loans.plan import cheapest
from shell import serve


def plans(body):
    return {"plans": cheapest(body.get("offers", []))[:5]}


app = serve({"plans": plans})
