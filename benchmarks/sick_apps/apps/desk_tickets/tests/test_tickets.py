from desk.people import staff
from desk.tickets import describe, priority


def test_ticket_of_an_agent():
    ticket = {"id": 7, "title": " Printer on fire ", "agent_id": 2, "priority": "high"}
    assert describe(ticket, staff()) == {
        "id": 7,
        "title": "Printer on fire",
        "priority": "high",
        "assigned_to": "Kofi",
        "team": "hardware",
    }


def test_vip_goes_up_one():
    assert priority({"priority": "low", "vip": True}) == "normal"
    assert priority({"priority": "urgent", "vip": True}) == "urgent"
    assert priority({}) == "normal"
