from sensors.readings import collect, summary
from shell import serve


def readings(body):
    return summary(collect(body.get("lines", [])))


def units(body):
    return {"celsius": round((body.get("fahrenheit", 32) - 32) / 1.8, 2)}


app = serve({"readings": readings, "units": units})
