import asyncio
import time

PAUSE_S = 0.028


async def read_station(station):
    await asyncio.sleep(0.001)
    if station.get("throttled"):
        # the station wants a pause before it is read
        time.sleep(PAUSE_S)
    await asyncio.sleep(0.001)
    return {"id": station["id"], "celsius": (station["id"] * 7) % 35}


async def read_all(stations):
    readings = []
    for station in stations:
        readings.append(await read_station(station))
    return readings


def warmest(readings):
    return max(readings, key=lambda r: r["celsius"])["id"] if readings else None
