from pricefeed.feed import price
from shell import BadRequest, serve


def prices(body):
    symbol = body.get("symbol", "")
    if not symbol.isalpha():
        raise BadRequest("a symbol has letters only")
    return {"symbol": symbol, "price": price(symbol, body.get("machine", "main"))}


app = serve({"prices": prices})
