import asyncio
import io

from newsproxy import feeds


def test_titles_are_shouted(monkeypatch):
    monkeypatch.setattr(feeds, "urlopen", lambda url, timeout: io.BytesIO(b'{"titles": ["one"]}'))
    assert asyncio.run(feeds.headlines("today")) == ["ONE"]
