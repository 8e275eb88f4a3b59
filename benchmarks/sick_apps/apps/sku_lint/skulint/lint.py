import re
import string

FAMILIES = ["".join((a, b)) for a in string.ascii_uppercase[:24] for b in string.ascii_uppercase[:26]]


def family_pattern(family):
    return re.compile(
        rf"^{family}-(?P<size>XS|S|M|L|XL)-(?P<colour>[a-z]{{3,12}})-(?P<batch>\d{{4,8}})(?P<check>[0-9X])$"
    )


def is_valid(sku):
    family = sku[:2]
    if family not in FAMILIES:
        return False
    return family_pattern(family).match(sku) is not None


def colour(sku):
    found = re.compile(r"-(XS|S|M|L|XL)-([a-z]{3,12})-").search(sku)
    return found.group(2) if found else None


def lint(skus):
    bad = [sku for sku in skus if not is_valid(sku)]
    colours = {colour(sku) for sku in skus} - {None}
    return {"bad": bad[:20], "colours": sorted(colours)}
