PRIORITIES = ["low", "normal", "high", "urgent"]


def priority(ticket):
    index = PRIORITIES.index(ticket.get("priority", "normal"))
    if ticket.get("vip") and index < 3:
        index += 1
    return PRIORITIES[index]


def describe(ticket, directory):
    agent = directory.find(ticket["agent_id"])
    return {
        "id": ticket["id"],
        "title": ticket["title"].strip(),
        "priority": priority(ticket),
        "assigned_to": agent.name,
        "team": agent.team,
    }
