from orderjoin.join import open_orders, with_tracking


def test_newest_shipment_counts():
    orders = [{"id": 1}, {"id": 2}]
    shipments = [{"order_id": 1, "tracking": "A"}, {"order_id": 1, "tracking": "B"}]
    rows = with_tracking(orders, shipments)
    assert rows == [{"order": 1, "tracking": "B"}, {"order": 2, "tracking": None}]
    assert open_orders(rows) == 1
