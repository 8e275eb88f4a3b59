from guests.app import checkin
from guests.checkin import CheckIn, greeting


def test_banned_guests_stay_out():
    desk = CheckIn(["Mallory"])
    assert desk.admit(["Ada", "MALLORY", "Ben"]) == ["Ada", "Ben"]
    assert desk.turned_away == 1


def test_greetings():
    assert greeting([]) == "Sorry, not tonight"
    assert greeting(["Ada"]) == "Welcome, Ada"
    assert greeting(["Ada", "Ben"]) == "Welcome, Ada and 1 more"


def test_answer():
    assert checkin({"party": ["Ada"], "banned": []}) == {"admitted": 1, "turned_away": 0, "greeting": "Welcome, Ada"}
