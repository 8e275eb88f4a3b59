import csv
import io


def parse_row(row):
    quantity = int(row["quantity"])
    return {"sku": row["sku"].strip().upper(), "quantity": quantity, "location": row.get("location") or "main"}


def parse(text):
    reader = csv.DictReader(io.StringIO(text))
    return [parse_row(row) for row in reader]
