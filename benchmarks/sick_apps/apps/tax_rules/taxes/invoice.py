import json
from pathlib import Path

RATES = Path(__file__).with_name("rates.json").read_text()


def line_tax(line, rates, country):
    category = line.get("category", "standard")
    percent = rates[country].get(category, rates[country]["standard"])
    return line["net"] * percent / 100


def invoice(country, lines):
    total = tax = 0
    for line in lines:
        rates = json.loads(RATES)
        total += line["net"]
        tax += line_tax(line, rates, country)
    return {"net": round(total, 2), "tax": round(tax, 2), "gross": round(total + tax, 2)}
