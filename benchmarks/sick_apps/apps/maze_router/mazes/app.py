from mazes.routes import hand_out
from shell import serve


def routes(body):
    return hand_out(int(body.get("parcels", 0)), body.get("capacity", []))


app = serve({"routes": routes})
