from invoicepdf.render import page
from shell import Gauge, memory_mb, serve


def pages(body):
    text = page(body.get("number", 1), body.get("customer", "nobody"))
    return {"size": len(text), "head": text[:72].strip()}


app = serve({"pages": pages}, gauges=(Gauge("MemoryUsed", "pages", "Megabytes", memory_mb),))
