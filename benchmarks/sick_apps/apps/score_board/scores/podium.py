def seconds(result):
    minutes, _, rest = result["time"].partition(":")
    return int(minutes) * 60 + float(rest)


def finishers(race):
    done = [r for r in race["results"] if not r.get("dnf")]
    done.sort(key=seconds)
    return done


def podium(race):
    done = finishers(race)
    places = {}
    for place, name in enumerate(("gold", "silver", "bronze")):
        places[name] = done[place]["runner"]
    return places


def gap(race):
    done = finishers(race)
    if len(done) < 2:
        return None
    return round(seconds(done[1]) - seconds(done[0]), 2)
