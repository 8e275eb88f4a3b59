"""The skeleton of an agent: perceive, decide, act over a state, each a method to be replaced."""

from string import Template

from selfbuild.recipes.scaffolds.common import Parts, readme

_AGENT = Template('''\
"""The loop of $name: takes observations in, decides which capability answers, acts, and keeps what came of it."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from $package.capabilities import CAPABILITIES, Answer, call

MAX_WAITING = 1000


@dataclass(frozen=True)
class Decision:
    """What the agent is about to do."""

    capability: str
    arguments: Mapping[str, Any]


@dataclass
class State:
    """What the agent knows."""

    waiting: deque[Mapping[str, Any]] = field(default_factory=deque)
    refused: list[Mapping[str, Any]] = field(default_factory=list)
    done: list[tuple[Decision, Answer]] = field(default_factory=list)


class Agent:
    """Runs the loop; `decide` is where judgement is to be written."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()

    def perceive(self, observation: Mapping[str, Any]) -> bool:
        """Take an observation in; False where too many wait already."""
        if len(self.state.waiting) >= MAX_WAITING:
            return False
        self.state.waiting.append(observation)
        return True

    def decide(self) -> Decision | None:
        """The capability that the oldest observation names; None without one, or where it names none."""
        if not self.state.waiting:
            return None
        observation = self.state.waiting.popleft()
        capability, arguments = observation.get("capability"), observation.get("arguments", {})
        if capability not in CAPABILITIES or not isinstance(arguments, Mapping):
            self.state.refused.append(observation)
            return None
        return Decision(str(capability), arguments)

    def act(self, decision: Decision) -> Answer:
        """Have the capability do its work, and keep the answer."""
        answer = call(decision.capability, decision.arguments)
        self.state.done.append((decision, answer))
        return answer

    def run(self, max_steps: int = 100) -> int:
        """Decide and act until nothing waits or the steps are used up; how many steps were acted."""
        acted = 0
        for _ in range(max_steps):
            if not self.state.waiting:
                break
            decision = self.decide()
            if decision is not None:
                self.act(decision)
                acted += 1
        return acted
''')

_TESTS = Template('''"""The loop: observations are taken in order, foreign ones are refused, answers are kept."""

from $package.agent import MAX_WAITING, Agent, Decision

FIRST = "$first"


def test_observation_is_answered_by_the_capability_it_names() -> None:
    agent = Agent()
    agent.perceive({"capability": FIRST, "arguments": {"a": 1}})

    assert agent.run() == 1
    ((decision, answer),) = agent.state.done
    assert decision == Decision(FIRST, {"a": 1})
    assert answer["error"]["code"] == "not_implemented"


def test_observation_that_names_no_capability_is_refused() -> None:
    agent = Agent()
    agent.perceive({"capability": "no such thing"})
    agent.perceive({"capability": FIRST, "arguments": ["a", "list"]})

    assert agent.run() == 0
    assert len(agent.state.refused) == 2
    assert agent.state.done == []


def test_steps_are_bounded() -> None:
    agent = Agent()
    for _ in range(3):
        agent.perceive({"capability": FIRST})

    assert agent.run(max_steps=2) == 2
    assert len(agent.state.waiting) == 1


def test_nothing_is_decided_without_an_observation() -> None:
    assert Agent().decide() is None


def test_waiting_observations_are_bounded() -> None:
    agent = Agent()

    taken = [agent.perceive({"number": number}) for number in range(MAX_WAITING + 1)]

    assert taken.count(True) == MAX_WAITING
    assert taken[-1] is False
''')


def files(parts: Parts) -> dict[str, str]:
    """What an agent has beside its capabilities."""
    first = next(iter(parts.capabilities))
    use = (
        f"```python\nfrom {parts.package}.agent import Agent\n\nagent = Agent()\n"
        f'agent.perceive({{"capability": "{first}", "arguments": {{}}}})\nagent.run()\nagent.state.done\n```\n\n'
        "`Agent.decide` takes the capability that an observation names: judgement is to be written there."
    )
    return {
        f"{parts.package}/agent.py": _AGENT.substitute(package=parts.package, name=parts.name),
        f"tests/test_{parts.package}_agent.py": _TESTS.substitute(package=parts.package, first=first),
        "README.md": readme(parts, use=use),
    }
