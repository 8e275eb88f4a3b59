"""Readings arrive as `sensor;time;value` lines."""

from statistics import median


def parse_line(line):
    sensor, moment, value = line.split(";")
    return sensor, int(moment), float(value)


def collect(lines):
    by_sensor = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        sensor, moment, value = parse_line(line)
        by_sensor.setdefault(sensor, []).append((moment, value))
    return by_sensor


def summary(by_sensor):
    out = {}
    for sensor, points in sorted(by_sensor.items()):
        values = [v for _, v in points]
        out[sensor] = {"last": max(points)[1], "median": median(values), "count": len(values)}
    return out
