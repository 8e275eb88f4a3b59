from reading.lists import entries
from reading.store import Store
from shell import serve

store = Store()


def lists(body):
    return {"entries": sorted(entries(store, body.get("books", [])))}


app = serve({"lists": lists})
