from shell import serve
from words import counts as counting


def counts(body):
    words = counting.split(body.get("text", ""))
    return {"words": len(words), "top": counting.top(counting.counts(words), 10)}


app = serve({"counts": counts})
