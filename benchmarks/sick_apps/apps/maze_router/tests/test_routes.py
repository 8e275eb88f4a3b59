from mazes.routes import hand_out


def test_everything_fits():
    assert hand_out(5, [4, 4]) == {"loads": [3, 2], "left": 0}


def test_too_much():
    assert hand_out(20, [4, 4]) == {"loads": [4, 4], "left": 12}


def test_nobody_works():
    assert hand_out(3, []) == {"loads": [], "left": 3}
