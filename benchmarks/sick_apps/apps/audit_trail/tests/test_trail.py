from audit.trail import Trail


def test_latest_events_last():
    trail = Trail()
    for number in range(12):
        trail.record("login", f"u{number}", {})
    assert trail.latest(2) == ["u10: login", "u11: login"]
    assert len(trail.latest()) == 10


def test_size_of_the_payload():
    assert Trail().record("x", "y", {"a": 1}) == len("[('a', 1)]")
