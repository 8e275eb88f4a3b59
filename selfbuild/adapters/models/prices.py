"""What the models cost by list price. A model that is not here is reported with its tokens at cost 0."""

from collections.abc import Mapping

from selfbuild.domain.base import Value
from selfbuild.domain.model_calls import Usage

TOKENS_A_PRICE = 1_000_000


class Price(Value):
    """USD per million tokens."""

    input_usd: float
    output_usd: float
    cache_read_usd: float
    cache_write_usd: float
    """For the shortest-lived cache of the provider."""

    def usage(self, tokens: "Tokens") -> Usage:
        """What was used, with its cost."""
        cost_usd = tokens.fresh * self.input_usd + tokens.output * self.output_usd
        cost_usd += tokens.cached * self.cache_read_usd + tokens.written * self.cache_write_usd
        return Usage(
            input_tokens=tokens.fresh + tokens.cached + tokens.written,
            output_tokens=tokens.output,
            cost_usd=round(cost_usd / TOKENS_A_PRICE, 8),
        )


class Tokens(Value):
    """Tokens of one answer by what they cost; no token is counted twice."""

    fresh: int = 0
    """Of the question, neither read from the cache nor written to it."""
    cached: int = 0
    written: int = 0
    output: int = 0
    """The model's thinking included."""


UNKNOWN = Price(input_usd=0, output_usd=0, cache_read_usd=0, cache_write_usd=0)

CLAUDE_PRICES: Mapping[str, Price] = {
    "claude-fable-5-1": Price(input_usd=10, output_usd=50, cache_read_usd=0.25, cache_write_usd=12.5),
    "claude-opus-5-5": Price(input_usd=4, output_usd=20, cache_read_usd=0.2, cache_write_usd=5),
    "claude-opus-5": Price(input_usd=5, output_usd=25, cache_read_usd=0.5, cache_write_usd=6.25),
    "claude-sonnet-5-5": Price(input_usd=2, output_usd=10, cache_read_usd=0.1, cache_write_usd=2.5),
    "claude-sonnet-5": Price(input_usd=2, output_usd=10, cache_read_usd=0.2, cache_write_usd=2.5),
    "claude-haiku-5-5": Price(input_usd=0.1, output_usd=0.5, cache_read_usd=0.01, cache_write_usd=0.125),
    "claude-haiku-4-5": Price(input_usd=1, output_usd=5, cache_read_usd=0.1, cache_write_usd=1.25),
}
"""List prices of November 2026, https://platform.claude.com/docs/en/about-claude/pricing; Bedrock's are taken to be the
same. Discounts, regional surcharges and Haiku 5.5's price above 100,000 input tokens (prompts here stay below) are not
included."""

OPENAI_PRICES: Mapping[str, Price] = {
    "gpt-6.2-sol": Price(input_usd=2, output_usd=10, cache_read_usd=0.1, cache_write_usd=2.5),
    "gpt-6.1-sol": Price(input_usd=2, output_usd=10, cache_read_usd=0.1, cache_write_usd=2.5),
    "gpt-6.1-terra": Price(input_usd=1, output_usd=5, cache_read_usd=0.05, cache_write_usd=1.25),
    "gpt-6-sol": Price(input_usd=2, output_usd=10, cache_read_usd=0.2, cache_write_usd=2.5),
    "gpt-6-luna": Price(input_usd=0.1, output_usd=0.5, cache_read_usd=0.01, cache_write_usd=0.125),
}
"""Standard prices of November 2026 for prompts below 272,000 tokens, https://developers.openai.com/api/docs/pricing
(gpt-6.2-sol read there; the others from published copies of it)."""
