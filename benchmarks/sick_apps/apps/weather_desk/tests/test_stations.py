import asyncio

from weather.stations import read_all, warmest


def test_stations_in_order():
    readings = asyncio.run(read_all([{"id": 2}, {"id": 1, "throttled": True}]))
    assert readings == [{"id": 2, "celsius": 14}, {"id": 1, "celsius": 7}]


def test_warmest():
    assert warmest([{"id": 1, "celsius": 3}, {"id": 2, "celsius": 9}]) == 2
    assert warmest([]) is None
