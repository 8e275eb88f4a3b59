from parcels.labels import Labeller, ParcelTooHeavy
from shell import BadRequest, serve

labeller = Labeller("Parcel Depot 7")


def labels(body):
    parcels = body.get("parcels") or []
    try:
        return {"labels": [labeller.label(p) for p in parcels]}
    except ParcelTooHeavy as e:
        raise BadRequest(str(e)) from e


def zones(body):
    from parcels.zones import factor

    return {"factor": factor(body.get("country"))}


app = serve({"labels": labels, "zones": zones})
