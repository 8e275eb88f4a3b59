from shell import BadRequest, serve
from tagcloud.tags import longest, unique_tags


def tags(body):
    documents = body.get("documents")
    if not isinstance(documents, list):
        raise BadRequest("'documents' must be a list")
    found = unique_tags(documents)
    return {"count": len(found), "first": found[:20], "longest": longest(found)}


def ping(body):
    return {"pong": body.get("ping")}


app = serve({"tags": tags, "ping": ping})
