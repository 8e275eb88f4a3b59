def request(rng, sick):
    number = 550 if sick else 20
    orders = [{"id": rng.randint(1, 10**6)} for _ in range(number)]
    known = rng.sample(orders, number * 3 // 4)
    shipments = [{"order_id": order["id"], "tracking": f"T{order['id']}"} for order in known]
    return "/shipments", {"orders": orders, "shipments": shipments}


def rate(elapsed_s):
    return 15.0
