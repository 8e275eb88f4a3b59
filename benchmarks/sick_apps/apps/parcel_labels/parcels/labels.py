"""Labels and postage of parcels."""

from parcels import zones

BANDS = [(500, 4.5), (2000, 6.9), (10000, 12.0)]


class ParcelTooHeavy(ValueError):
    pass


class Labeller:
    def __init__(self, sender):
        self.sender = sender

    def postage(self, parcel):
        weight = parcel["dimensions"]["weight_g"]
        for limit, price in BANDS:
            if weight <= limit:
                return price * zones.factor(parcel["to"]["country"])
        raise ParcelTooHeavy(f"{weight} g is more than we carry")

    def label(self, parcel):
        to = parcel["to"]
        lines = [self.sender, to["name"], f"{to.get('zip', '')} {to.get('city', '')}".strip(), to["country"]]
        return {"lines": lines, "postage": round(self.postage(parcel), 2)}
