from citymatch.distance import distance
from citymatch.match import best_city, match


def test_distance():
    assert distance("berlin", "berlni") == 2
    assert distance("", "bonn") == 4


def test_slips_of_the_pen():
    assert best_city(" Hambrug") == "hamburg"
    assert best_city("bonn") == "bonn"


def test_rest_of_the_address_stays():
    assert match([{"street": "Am Ring 1", "city": "Kologne"}]) == [{"street": "Am Ring 1", "city": "cologne"}]
