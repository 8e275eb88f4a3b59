from shell import serve
from weather.stations import read_all, warmest


async def forecast(body):
    readings = await read_all(body.get("stations", []))
    return {"readings": readings, "warmest": warmest(readings)}


async def units(body):
    return {"fahrenheit": body.get("celsius", 0) * 1.8 + 32}


app = serve({"forecast": forecast, "units": units})
