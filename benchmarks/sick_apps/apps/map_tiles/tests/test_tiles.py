from maptiles.tiles import draw_tile, neighbours


def test_tile_size():
    assert len(draw_tile(1, 2, 3)) == 256 * 256 * 2


def test_tiles_differ():
    assert draw_tile(1, 2, 3) != draw_tile(2, 2, 3)


def test_neighbours_wrap():
    assert neighbours(7, 7, 3) == [(7, 7), (7, 0), (0, 7), (0, 0)]
