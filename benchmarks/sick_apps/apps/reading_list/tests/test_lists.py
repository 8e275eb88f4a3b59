from reading.lists import entries, entry
from reading.store import Store


def test_entries():
    books = [{"title": "Rivers", "author_id": 2, "year": 1999}, {"title": "Dust", "author_id": 4000}]
    assert entries(Store(), books) == ["Author 2: Rivers (1999)", "unknown: Dust"]


def test_authors_keep_their_order():
    assert Store().authors([3, 1, 3]) == ["Author 3", "Author 1", "Author 3"]


def test_entry_without_year():
    assert entry({"title": "Dust"}, "Ada") == "Ada: Dust"
