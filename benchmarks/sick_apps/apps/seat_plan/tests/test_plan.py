from seats.app import seating
from seats.plan import affordable

SEATS = [{"row": 1, "number": 1, "base": 50}, {"row": 9, "number": 4, "base": 50}, {"row": 9, "number": 3, "base": 50}]


def test_dearest_first():
    assert affordable([{"name": "Ada", "budget": 100}], SEATS) == {"Ada": {"best": "1-1", "count": 3}}
    assert affordable([{"name": "Ben", "budget": 60}], SEATS) == {"Ben": {"best": "9-3", "count": 2}}


def test_nobody_is_forgotten():
    assert seating({"guests": [{"name": "Chen", "budget": 1}], "seats": SEATS})["without"] == 1
