"""Pricing of an order: lines, wrapping, voucher."""

WRAPPING_PRICES = {"none": 0, "paper": 300, "box": 900}
FREE_SHIPPING_FROM = 50_00
SHIPPING = 4_90


def line_total(line):
    return line["price"] * line.get("quantity", 1)


def wrapping_price(order):
    kind = order["wrapping"]
    return WRAPPING_PRICES.get(kind, 0)


def price_order(order):
    goods = sum(line_total(line) for line in order["lines"])
    voucher = min(order.get("voucher", 0), goods)
    shipping = 0 if goods - voucher >= FREE_SHIPPING_FROM else SHIPPING
    total = goods - voucher + shipping + wrapping_price(order)
    return {"goods": goods, "shipping": shipping, "total": total, "currency": order.get("currency", "EUR")}
