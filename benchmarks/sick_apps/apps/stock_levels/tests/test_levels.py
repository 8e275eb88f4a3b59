from stocklevels import levels


def test_level(monkeypatch):
    monkeypatch.setattr(levels, "ask", lambda shelf: shelf * 2)
    assert levels.level(4) == 8


def test_unknown_when_the_warehouse_is_away(monkeypatch):
    def away(shelf):
        raise OSError("no route")

    monkeypatch.setattr(levels, "ask", away)
    assert levels.level(4) is None
