from contacts import merge as merging
from shell import BadRequest, serve


def merge(body):
    books = body.get("books")
    if not books:
        raise BadRequest("no address books")
    contacts = merging.merge(books)
    return {"count": len(contacts), "contacts": contacts[:10]}


app = serve({"merge": merge})
