import asyncio
import json
import os
from urllib.request import urlopen

UPSTREAM = os.environ.get("UPSTREAM_URL", "http://127.0.0.1:9")
_audit = []


async def note(feed):
    await asyncio.sleep(0.001)
    _audit.append(feed)
    del _audit[:-50]


async def headlines(feed):
    await note(feed)
    answer = urlopen(f"{UPSTREAM}/{feed}", timeout=5)
    titles = json.loads(answer.read())["titles"]
    await note(feed + " done")
    return [title.upper() for title in titles]
