from mixer import mix as mixing
from shell import serve


def mix(body):
    ids, total = mixing.mix(body.get("playlists", []), body.get("limit_s", 3600))
    return {"tracks": len(ids), "first": ids[:10], "seconds": total}


app = serve({"mix": mix})
