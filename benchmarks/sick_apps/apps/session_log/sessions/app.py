from sessions.journal import write
from shell import Gauge, open_files, serve


def sessions(body):
    return {"written": write(int(body.get("session", 0)), body.get("lines", []))}


app = serve({"sessions": sessions}, gauges=(Gauge("OpenFiles", "sessions", "Count", open_files),))
