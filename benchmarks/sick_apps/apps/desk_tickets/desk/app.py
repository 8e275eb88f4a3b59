from desk.people import staff
from desk.tickets import describe
from shell import BadRequest, serve

directory = staff()


def tickets(body):
    if "tickets" not in body:
        raise BadRequest("no tickets")
    return {"tickets": [describe(t, directory) for t in body["tickets"]]}


def agents(body):
    agent = directory.find(body.get("id"))
    if agent is None:
        raise BadRequest("no such agent")
    return {"name": agent.name, "team": agent.team}


app = serve({"tickets": tickets, "agents": agents})
