from giftshop.delivery import delivery_days
from giftshop.orders import price_order
from shell import BadRequest, serve


def orders(body):
    if not isinstance(body.get("lines"), list):
        raise BadRequest("'lines' must be a list")
    return price_order(body)


def delivery(body):
    return {"days": delivery_days(body.get("country", "SE"), bool(body.get("express")))}


app = serve({"orders": orders, "delivery": delivery})
