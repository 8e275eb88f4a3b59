from scores.podium import gap, podium

RACE = {
    "name": "5 km",
    "results": [
        {"runner": "Ada", "time": "18:02.5"},
        {"runner": "Ben", "time": "17:59"},
        {"runner": "Chen", "time": "0:0", "dnf": True},
        {"runner": "Dora", "time": "19:30"},
        {"runner": "Emil", "time": "18:40.1"},
    ],
}


def test_fastest_three():
    assert podium(RACE) == {"gold": "Ben", "silver": "Ada", "bronze": "Emil"}


def test_gap():
    assert gap(RACE) == 3.5
    assert gap({"results": []}) is None
