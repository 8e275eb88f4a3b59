from dataclasses import dataclass


@dataclass
class Agent:
    id: int
    name: str
    team: str


class Directory:
    def __init__(self):
        self._agents = {}

    def add(self, agent):
        self._agents[agent.id] = agent

    def find(self, agent_id):
        return self._agents.get(agent_id)


def staff():
    directory = Directory()
    for number, name in enumerate(["Ines", "Kofi", "Grace", "Hugo", "Mei"], start=1):
        directory.add(Agent(number, name, "billing" if number % 2 else "hardware"))
    return directory
