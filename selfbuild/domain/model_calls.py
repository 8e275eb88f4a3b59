"""One question to a language model and its raw answer: what every provider has in common."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from selfbuild.domain.base import TenantId, Value


class Usage(Value):
    """What a model call cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class Spender(Value):
    """On whose account a model is asked."""

    tenant_id: TenantId
    application: str
    """An application, or a component's name."""
    cycle_id: str
    """The cycle, or the component request."""


class StopReason(StrEnum):
    """Why a model ended its answer."""

    END = "end"
    CUT_OFF = "cut_off"
    """At the limit of tokens: the text is not whole and must not be read."""
    REFUSED = "refused"
    OTHER = "other"


class Exchange(Value):
    """An earlier answer of the model and what was said of it."""

    answer: str
    feedback: str


class ModelRequest(Value):
    """What a model is asked. Repairs repeat `system` and `user` and add to `exchanges`, so that providers can cache."""

    system: str
    user: str
    exchanges: tuple[Exchange, ...] = ()
    """Oldest first."""
    answer_schema: dict[str, Any]
    """JSON schema of the answer; not every provider enforces it, so the answer is validated again."""
    schema_name: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] = "answer"
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """None = the provider's setting."""
    model: str | None = None
    """None = the provider's setting."""
    spender: Spender | None = None
    """None = nobody's budget is charged: a check of the connection."""


class ModelAnswer(Value):
    """What a model answered, unread."""

    provider: str
    model: str
    text: str
    stop_reason: StopReason
    stop_detail: str = ""
    """The provider's own words: its stop reason, or why it refused."""
    request_id: str | None = None
    usage: Usage = Usage()
