from mixer.mix import mix


def test_take_turns():
    playlists = [[{"id": 1, "s": 10}, {"id": 2, "s": 10}], [{"id": 3, "s": 5}]]
    assert mix(playlists, 100) == ([1, 3, 2], 25)


def test_limit():
    assert mix([[{"id": 1, "s": 50}, {"id": 2, "s": 60}, {"id": 3, "s": 10}]], 70) == ([1, 3], 60)


def test_nothing():
    assert mix([], 10) == ([], 0)
