from decimal import ROUND_HALF_UP, Decimal


def cents(amount):
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


class Campaign:
    def __init__(self, name, shown, clicks, spent):
        self.name = name
        self.shown = shown
        self.clicks = clicks
        self.spent = Decimal(str(spent))

    @property
    def click_rate(self):
        return self.clicks / self.shown

    def as_row(self):
        return [self.name, self.shown, f"{100 * self.click_rate:.2f} %", str(cents(self.spent))]


def report(campaigns):
    rows = [c.as_row() for c in sorted(campaigns, key=lambda c: c.name)]
    spent = sum((c.spent for c in campaigns), Decimal(0))
    return {"rows": rows, "spent": str(cents(spent))}
