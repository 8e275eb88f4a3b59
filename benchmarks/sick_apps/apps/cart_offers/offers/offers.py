import re

CODE = re.compile(r"^(?P<percent>\d+)-(?P<group>[a-z]+)(?:-(?P<region>[a-z]{2}))?$")


def applies(coupon, item):
    found = CODE.match(coupon)
    return found is not None and found.group("group") == item["group"]


def collect(items, coupons=[]):
    for item in items:
        if item.get("promoted"):
            coupons.append(f"10-{item['group']}")
    best = {}
    for item in items:
        percents = [int(CODE.match(c).group("percent")) for c in coupons if applies(c, item)]
        best[item["name"]] = max(percents, default=0)
    return best
