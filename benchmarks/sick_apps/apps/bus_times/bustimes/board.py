"""What the board at a stop shows."""


def minutes(clock):
    hours, _, rest = clock.partition(":")
    return int(hours) * 60 + int(rest)


def upcoming(timetable, now):
    return [d for d in sorted(timetable, key=lambda d: minutes(d["at"])) if minutes(d["at"]) >= minutes(now)]


def next_departure(timetable, now):
    left = upcoming(timetable, now)
    return left[0]["at"]


def board(stop, now):
    left = upcoming(stop["timetable"], now)
    return {
        "stop": stop["name"],
        "next": next_departure(stop["timetable"], now),
        "lines": sorted({d["line"] for d in left}),
    }
