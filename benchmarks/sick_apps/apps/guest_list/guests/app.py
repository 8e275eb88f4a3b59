from guests.checkin import CheckIn, greeting
from shell import serve


def checkin(body):
    desk = CheckIn(body.get("banned", []))
    admitted = desk.admit(body.get("party", []))
    return {"admitted": len(admitted), "turned_away": desk.turned_away, "greeting": greeting(admitted)}


app = serve({"checkin": checkin})
