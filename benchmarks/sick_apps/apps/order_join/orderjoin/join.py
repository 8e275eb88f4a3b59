def with_tracking(orders, shipments):
    rows = []
    for order in orders:
        row = {"order": order["id"], "tracking": None}
        for shipment in shipments:
            if shipment["order_id"] == order["id"]:
                row["tracking"] = shipment["tracking"]
        rows.append(row)
    return rows


def open_orders(rows):
    return sum(1 for row in rows if row["tracking"] is None)
