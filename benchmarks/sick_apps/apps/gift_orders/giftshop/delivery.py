NEAR = {"SE", "NO", "DK", "FI"}


def delivery_days(country, express):
    days = 2 if country in NEAR else 6
    return max(1, days // 2) if express else days
