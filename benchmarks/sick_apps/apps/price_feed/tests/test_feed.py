from pricefeed import feed


def test_price(monkeypatch):
    asked = []
    monkeypatch.setattr(feed, "ask", lambda path: asked.append(path) or "99.125")
    assert feed.price("ABC") == 99.12
    assert asked == ["/main/ABC"]
