from audit.trail import Trail
from shell import Gauge, memory_mb, serve

trail = Trail()


def events(body):
    size = trail.record(body.get("kind", "?"), body.get("user", "?"), body.get("payload", {}))
    return {"size": size}


def latest(body):
    return {"events": trail.latest(10)}


app = serve({"events": events, "latest": latest}, gauges=(Gauge("MemoryUsed", "events", "Megabytes", memory_mb),))
