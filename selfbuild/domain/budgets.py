"""What models may cost: a cycle, and all cycles of a day."""

from typing import Annotated

from pydantic import Field

from selfbuild.domain.base import Value
from selfbuild.domain.model_calls import Usage

Tokens = Annotated[int, Field(ge=0)]
Dollars = Annotated[float, Field(ge=0)]


class Budget(Value):
    """Limits of one span; 0 = without limit."""

    tokens: Tokens = 0
    """Of questions and answers together."""
    cost_usd: Dollars = 0.0

    def exceeded_by(self, spent: Usage) -> str | None:
        """Which limit is used up, in words; None while there is something left."""
        tokens = spent.input_tokens + spent.output_tokens
        if self.tokens and tokens >= self.tokens:
            return f"{tokens:,} of {self.tokens:,} tokens are used"
        if self.cost_usd and spent.cost_usd >= self.cost_usd:
            return f"{spent.cost_usd:.4f} of {self.cost_usd:.4f} USD are used"
        return None


class Budgets(Value):
    """What is checked before each question. A question that is under way may go beyond a limit, by its own size."""

    cycle: Budget = Budget()
    day: Budget = Budget()
    """Calendar day in UTC, of all tenants together."""
    tenant_day: Budget = Budget()
    """The same, of one tenant."""
