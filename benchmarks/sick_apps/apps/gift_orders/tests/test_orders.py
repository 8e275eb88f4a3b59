from giftshop.delivery import delivery_days
from giftshop.orders import price_order


def test_order_with_wrapping():
    order = {"lines": [{"price": 1000, "quantity": 2}], "wrapping": "box"}
    assert price_order(order)["total"] == 2000 + 490 + 900


def test_big_order_ships_free():
    order = {"lines": [{"price": 6000}], "wrapping": "none"}
    assert price_order(order) == {"goods": 6000, "shipping": 0, "total": 6000, "currency": "EUR"}


def test_voucher_is_never_more_than_the_goods():
    order = {"lines": [{"price": 100}], "voucher": 500, "wrapping": "paper"}
    assert price_order(order)["total"] == 490 + 300


def test_express_halves_the_days():
    assert delivery_days("SE", False) == 2
    assert delivery_days("US", True) == 3
