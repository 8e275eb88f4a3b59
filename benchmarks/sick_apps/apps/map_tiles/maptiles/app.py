import zlib

from maptiles.tiles import draw_tile
from shell import BadRequest, Gauge, memory_mb, serve


def tiles(body):
    x, y, zoom = body.get("x"), body.get("y"), body.get("zoom", 12)
    if not isinstance(x, int) or not isinstance(y, int):
        raise BadRequest("x and y must be numbers")
    tile = draw_tile(x, y, zoom)
    return {"size": len(tile), "crc": zlib.crc32(tile)}


app = serve({"tiles": tiles}, gauges=(Gauge("MemoryUsed", "tiles", "Megabytes", memory_mb),))
