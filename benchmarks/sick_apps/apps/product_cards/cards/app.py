from cards import catalogue
from shell import serve


def cards(body):
    return {"cards": catalogue.page(body.get("ids", []))}


app = serve({"cards": cards})
