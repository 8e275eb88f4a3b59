from adreports.campaigns import Campaign, report
from shell import BadRequest, serve


def campaigns(body):
    try:
        given = [Campaign(c["name"], c["shown"], c["clicks"], c["spent"]) for c in body["campaigns"]]
    except KeyError as missing:
        raise BadRequest(f"{missing} is missing") from missing
    return report(given)


app = serve({"campaigns": campaigns})
