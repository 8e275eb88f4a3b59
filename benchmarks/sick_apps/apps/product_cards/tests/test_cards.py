import pytest

from cards import catalogue


@pytest.fixture(autouse=True)
def shop(monkeypatch):
    def fetch(path):
        if path.startswith("/many"):
            ids = path.partition("=")[2].split(",")
            return {i: {"id": int(i), "title": f"T{i}", "price": int(i)} for i in ids}
        i = int(path.rpartition("/")[2])
        return {"id": i, "title": f"T{i}", "price": i}

    monkeypatch.setattr(catalogue, "fetch", fetch)


def test_page_keeps_the_order():
    assert catalogue.page([3, 1]) == [{"title": "T3", "price": "3.00 EUR"}, {"title": "T1", "price": "1.00 EUR"}]


def test_many_answers_like_one():
    assert catalogue.get_products([7])[7] == catalogue.get_product(7)
    assert catalogue.get_products([]) == {}


def test_empty_page():
    assert catalogue.page([]) == []
