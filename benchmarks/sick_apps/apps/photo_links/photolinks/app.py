from photolinks.links import album_links
from shell import BadRequest, serve


def links(body):
    album = body.get("album")
    if not album:
        raise BadRequest("no album")
    return {"links": album_links(album)}


app = serve({"links": links})
