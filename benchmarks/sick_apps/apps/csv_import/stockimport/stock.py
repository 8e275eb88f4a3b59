from collections import defaultdict


def by_location(rows):
    totals = defaultdict(int)
    for row in rows:
        totals[row["location"]] += row["quantity"]
    return dict(totals)


def out_of_stock(rows):
    return [row["sku"] for row in rows if row["quantity"] <= 0]
