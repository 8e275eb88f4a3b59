from meetnotes.actions import TEXT_LIMIT, action_items, tidy


def test_action_names_owner_text_and_date() -> None:
    items = [{"text": "Send the offer", "owner": "Ada", "due": "2026-03-01"}]

    assert action_items(items) == [{"owner": "Ada", "text": "Send the offer", "due": "2026-03-01"}]


def test_action_without_date_is_open() -> None:
    assert action_items([{"text": "Send the offer", "owner": "Ada"}])[0]["due"] == "open"


def test_actions_keep_their_order() -> None:
    items = [{"text": text, "owner": "Ada"} for text in ("third", "first", "second")]

    assert [action["text"] for action in action_items(items)] == ["third", "first", "second"]


def test_meeting_without_items_has_no_actions() -> None:
    assert action_items([]) == []


def test_text_becomes_one_line() -> None:
    assert tidy("  Send\n the   offer ") == "Send the offer"


def test_long_text_is_cut() -> None:
    cut = tidy("x" * (TEXT_LIMIT + 1))

    assert len(cut) == TEXT_LIMIT
    assert cut.endswith("x…")
