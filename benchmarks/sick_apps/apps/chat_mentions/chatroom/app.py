from chatroom import mentions as m
from chatroom.rooms import room_title
from shell import serve


def mentions(body):
    messages = body.get("messages", [])
    return {"mentions": [m.mentions(text) for text in messages]}


def rooms(body):
    return {"title": room_title(body.get("members", []))}


app = serve({"mentions": mentions, "rooms": rooms})
