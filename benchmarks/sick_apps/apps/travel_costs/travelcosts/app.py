from shell import serve
from travelcosts.claims import claim


def claims(body):
    return claim(body.get("receipts", []))


app = serve({"claims": claims})
