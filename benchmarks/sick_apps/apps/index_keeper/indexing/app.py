from indexing.index import Index
from shell import serve

index = Index()


def search(body):
    return {"documents": index.search(body.get("word", ""))[:20]}


def documents(body):
    index.add(int(body.get("id", 0)), body.get("text", ""))
    return {"added": True}


app = serve({"search": search, "documents": documents})
