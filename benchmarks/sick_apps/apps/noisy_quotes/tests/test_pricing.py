import pytest

from quotes.app import quote
from quotes.pricing import premium
from shell import BadRequest


def test_premium_is_stable():
    assert premium("bike", 5000) == premium("bike", 5000)


def test_premium_grows_with_value():
    assert premium("car", 10_000_000) > premium("car", 100)


def test_unknown_product():
    with pytest.raises(BadRequest):
        quote({"product": "boat"})
