from functools import lru_cache

SIZE = 256


@lru_cache(maxsize=None)
def draw_tile(x: int, y: int, zoom: int) -> bytes:
    row = bytes((x * i + y) % 256 for i in range(SIZE))
    return row * (SIZE * 2)


def neighbours(x, y, zoom):
    limit = 2**zoom
    return [((x + dx) % limit, (y + dy) % limit) for dx in (0, 1) for dy in (0, 1)]
