from bustimes.board import board, next_departure, upcoming

TIMETABLE = [{"at": "17:40", "line": "5"}, {"at": "08:05", "line": "5"}, {"at": "17:10", "line": "M1"}]


def test_next_departure():
    assert next_departure(TIMETABLE, "08:00") == "08:05"
    assert next_departure(TIMETABLE, "08:06") == "17:10"


def test_upcoming_is_sorted():
    assert [d["at"] for d in upcoming(TIMETABLE, "09:00")] == ["17:10", "17:40"]


def test_board():
    assert board({"name": "Opera", "timetable": TIMETABLE}, "17:20") == {
        "stop": "Opera",
        "next": "17:40",
        "lines": ["5"],
    }
