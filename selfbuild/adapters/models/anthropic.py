"""Claude models at Anthropic's own API."""

from collections.abc import Mapping

import anthropic
import httpx2

from selfbuild.adapters.models.claude import ClaudeModel, ClaudeOptions
from selfbuild.adapters.models.faults import Wording
from selfbuild.adapters.models.model_ids import CLAUDE_MODEL
from selfbuild.adapters.models.prices import CLAUDE_PRICES, Price
from selfbuild.adapters.models.provider import Clock, usable_key, utc_now
from selfbuild.domain.errors import Misconfigured

BASE_URL = "https://api.anthropic.com"


class AnthropicModel(ClaudeModel):
    """Asks Anthropic."""

    def __init__(
        self,
        *,
        api_key: str | None,
        options: ClaudeOptions | None = None,
        base_url: str = BASE_URL,
        prices: Mapping[str, Price] = CLAUDE_PRICES,
        now: Clock = utc_now,
    ) -> None:
        """Check the settings; nothing is sent.

        Raises:
            Misconfigured: no usable key, no usable address, or a model that is no longer served.
        """
        key = usable_key(api_key, what="Anthropic API key", setting="ANTHROPIC_API_KEY")
        try:
            client = anthropic.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0)
        except (httpx2.InvalidURL, anthropic.AnthropicError) as error:
            raise Misconfigured(f"no Anthropic client for this base URL: {type(error).__name__}") from None
        super().__init__(
            client,
            options or ClaudeOptions(model=CLAUDE_MODEL),
            name="anthropic",
            wording=Wording("anthropic", key),
            setting="ANTHROPIC_MODEL or LLM_MODEL",
            instead=CLAUDE_MODEL,
            prices=prices,
            now=now,
        )
