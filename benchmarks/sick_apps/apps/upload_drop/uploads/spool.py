import hashlib
import os
import tempfile


def spool(text):
    """Put an upload aside; its digest and size."""
    handle, path = tempfile.mkstemp(prefix="upload-")
    with open(path, "w") as out:
        out.write(text)
    size = os.path.getsize(path)
    digest = hashlib.sha256(text.encode()).hexdigest()
    os.unlink(path)
    return digest, size
