from shell import BadRequest, serve
from stockimport.rows import parse
from stockimport.stock import by_location, out_of_stock


def imports(body):
    text = body.get("csv", "")
    if not text.startswith("sku,"):
        raise BadRequest("the first column must be sku")
    rows = parse(text)
    return {"rows": len(rows), "by_location": by_location(rows), "out_of_stock": out_of_stock(rows)}


app = serve({"imports": imports})
