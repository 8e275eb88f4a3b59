from meetnotes.topics import distinct_topics


def test_topics_keep_the_order_in_which_they_came_up() -> None:
    assert distinct_topics(["Roadmap", "Budget", "Hiring"]) == ["roadmap", "budget", "hiring"]


def test_topic_named_again_is_listed_once() -> None:
    assert distinct_topics(["budget", "hiring", "budget"]) == ["budget", "hiring"]


def test_case_and_blanks_make_no_other_topic() -> None:
    assert distinct_topics(["Budget", " budget ", "BUDGET"]) == ["budget"]


def test_case_folds_beyond_ascii() -> None:
    assert distinct_topics(["Straße", "STRASSE"]) == ["strasse"]


def test_blank_words_are_no_topics() -> None:
    assert distinct_topics(["", "  ", "budget"]) == ["budget"]


def test_meeting_without_words_has_no_topics() -> None:
    assert distinct_topics([]) == []
