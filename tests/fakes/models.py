"""A language model whose answers the test decides, and a ledger in memory."""

from collections.abc import Sequence
from datetime import datetime

from selfbuild.domain.errors import SelfBuildError
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, Spender, StopReason, Usage

USAGE = Usage(input_tokens=100, output_tokens=20, cost_usd=0.001)


class FakeModel:
    """Implements `ports.LanguageModel`: the outcomes one after the other, the last one for ever."""

    def __init__(self, *outcomes: ModelAnswer | str | SelfBuildError, name: str = "fake", usage: Usage = USAGE) -> None:
        if not outcomes:
            raise ValueError("a fake model needs at least one outcome")
        self.name = name
        self.requests: list[ModelRequest] = []
        self._outcomes: Sequence[ModelAnswer | str | SelfBuildError] = outcomes
        self._usage = usage

    async def ask(self, request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        """The next outcome; a text is a whole answer, errors are raised."""
        outcome = self._outcomes[min(len(self.requests), len(self._outcomes) - 1)]
        self.requests.append(request)
        if isinstance(outcome, SelfBuildError):
            raise outcome
        if isinstance(outcome, ModelAnswer):
            return outcome
        return ModelAnswer(
            provider=self.name,
            model="fake-model",
            text=outcome,
            stop_reason=StopReason.END,
            request_id=f"req_{len(self.requests)}",
            usage=self._usage,
        )

    async def aclose(self) -> None:
        """Nothing is open."""


class FakeLedger:
    """Implements `ports.SpendLedger`."""

    def __init__(self) -> None:
        self.entries: list[tuple[Spender, ModelAnswer, datetime]] = []

    async def charge(self, spender: Spender, answer: ModelAnswer, *, at: datetime) -> None:
        self.entries.append((spender, answer, at))

    async def spent(
        self, *, since: datetime | None = None, tenant_id: str | None = None, cycle_id: str | None = None
    ) -> Usage:
        total = Usage()
        for spender, answer, at in self.entries:
            fits = (since is None or at >= since, tenant_id in (None, spender.tenant_id))
            if all(fits) and cycle_id in (None, spender.cycle_id):
                total = total.plus(answer.usage)
        return total
