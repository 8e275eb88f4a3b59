from ratings.stats import average, histogram, stars
from shell import serve


def ratings(body):
    films = []
    for film in body.get("films", []):
        mean = average(film["votes"])
        films.append({"title": film["title"], "average": round(mean, 2), "stars": stars(mean)})
    return {"films": films}


def votes(body):
    return {"counts": histogram(body.get("votes", []))}


app = serve({"ratings": ratings, "votes": votes})
