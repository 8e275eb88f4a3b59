import pytest

from parcels.app import labels
from parcels.labels import Labeller
from shell import BadRequest


def parcel(weight=400, country="DE"):
    return {
        "to": {"name": "Ada", "zip": "10115", "city": "Berlin", "country": country},
        "dimensions": {"weight_g": weight},
    }


def test_label_names_sender_and_receiver():
    label = Labeller("Depot").label(parcel())
    assert label == {"lines": ["Depot", "Ada", "10115 Berlin", "DE"], "postage": 4.5}


def test_heavier_costs_more():
    assert Labeller("Depot").postage(parcel(1500)) == 6.9
    assert Labeller("Depot").postage(parcel(9000, "CH")) == 18.0


def test_too_heavy_is_the_clients_mistake():
    with pytest.raises(BadRequest):
        labels({"parcels": [parcel(20000)]})
