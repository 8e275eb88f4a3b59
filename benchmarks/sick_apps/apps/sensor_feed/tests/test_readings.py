from sensors.readings import collect, summary

LINES = ["# header", "t1;100;20.5", "t2;100;3", "", "t1;160;21.5"]


def test_collect_by_sensor():
    assert collect(LINES) == {"t1": [(100, 20.5), (160, 21.5)], "t2": [(100, 3.0)]}


def test_summary():
    assert summary(collect(LINES)) == {
        "t1": {"last": 21.5, "median": 21.0, "count": 2},
        "t2": {"last": 3.0, "median": 3.0, "count": 1},
    }
