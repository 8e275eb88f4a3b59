from shell import BadRequest, serve
from taxes.invoice import invoice


def invoices(body):
    country = body.get("country", "DE")
    if len(country) != 2:
        raise BadRequest("a country has two letters")
    return invoice(country, body.get("lines", []))


app = serve({"invoices": invoices})
