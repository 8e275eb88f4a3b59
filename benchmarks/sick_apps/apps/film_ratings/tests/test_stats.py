from ratings.app import ratings
from ratings.stats import average, histogram, stars


def test_average():
    assert average([1, 2, 3]) == 2
    assert average([5]) == 5


def test_histogram_has_every_vote():
    assert histogram([5, 5, 1]) == {1: 1, 2: 0, 3: 0, 4: 0, 5: 2}


def test_stars_round_down_to_halves():
    assert stars(3.4) == "***"
    assert stars(3.5) == "***+"


def test_answer():
    assert ratings({"films": [{"title": "Ran", "votes": [5, 4]}]}) == {
        "films": [{"title": "Ran", "average": 4.5, "stars": "****+"}]
    }
