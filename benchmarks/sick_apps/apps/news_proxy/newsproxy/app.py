from newsproxy import feeds
from shell import serve


async def headlines(body):
    return {"headlines": await feeds.headlines(body.get("feed", "today"))}


app = serve({"headlines": headlines})
