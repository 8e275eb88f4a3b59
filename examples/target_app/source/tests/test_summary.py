from meetnotes.summary import summarise


def test_actions_are_counted_by_owner() -> None:
    items = [
        {"text": "a", "owner": "Ada"},
        {"text": "b", "owner": "Ben"},
        {"text": "c", "owner": "Ada"},
    ]

    assert summarise("Weekly", items).by_owner == {"Ada": 2, "Ben": 1}


def test_actions_of_nobody_are_unassigned() -> None:
    assert summarise("Weekly", [{"text": "a"}]).by_owner == {"unassigned": 1}


def test_next_due_is_the_earliest_date() -> None:
    items = [{"text": "a", "due": "2026-03-02"}, {"text": "b"}, {"text": "c", "due": "2026-03-01"}]

    assert summarise("Weekly", items).next_due == "2026-03-01"


def test_meeting_without_dates_has_no_next_due() -> None:
    assert summarise("Weekly", [{"text": "a", "owner": "Ada"}]).next_due is None
