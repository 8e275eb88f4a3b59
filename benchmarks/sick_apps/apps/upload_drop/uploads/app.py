from shell import BadRequest, Gauge, open_files, serve
from uploads.spool import spool


def uploads(body):
    text = body.get("text")
    if not isinstance(text, str):
        raise BadRequest("no text")
    digest, size = spool(text)
    return {"digest": digest, "size": size}


app = serve({"uploads": uploads}, gauges=(Gauge("OpenFiles", "uploads", "Count", open_files),))
