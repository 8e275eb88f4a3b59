import time

WAIT_S = 0.4  # the printer's own pace, agreed with the customers


def report(year, rows):
    time.sleep(WAIT_S)
    total = sum(rows)
    return {"year": year, "total": total, "mean": round(total / len(rows), 2) if rows else 0}


def summary(rows):
    return {"rows": len(rows), "max": max(rows, default=0)}
