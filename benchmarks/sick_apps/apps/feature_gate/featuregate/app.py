from featuregate.flags import is_on
from shell import serve


def flags(body):
    user = body.get("user", "anonymous")
    return {flag: is_on(flag, user) for flag in body.get("flags", [])}


app = serve({"flags": flags})
