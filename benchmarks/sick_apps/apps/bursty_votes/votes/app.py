from shell import serve
from votes.tally import receipt, tally


def votes(body):
    ballots = body.get("ballots", [])
    return {"totals": tally(ballots), "receipts": [receipt(b) for b in ballots]}


app = serve({"votes": votes})
