from tagcloud.app import tags
from tagcloud.tags import longest, unique_tags


def test_each_tag_once_in_order():
    documents = [{"tags": ["#Sea", "sun"]}, {"tags": ["SEA", "beach", " "]}]
    assert unique_tags(documents) == ["sea", "sun", "beach"]


def test_no_documents():
    assert unique_tags([]) == []
    assert longest([]) is None


def test_answer():
    answer = tags({"documents": [{"tags": ["a", "bb", "A"]}]})
    assert answer == {"count": 2, "first": ["a", "bb"], "longest": "bb"}
