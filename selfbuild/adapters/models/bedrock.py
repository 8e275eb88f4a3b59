"""Claude models at Amazon Bedrock, signed with AWS credentials or with a Bedrock API key."""

from collections.abc import Mapping
from typing import Any

import anthropic
import httpx2
from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError

from selfbuild.adapters.models.claude import ClaudeModel, ClaudeOptions
from selfbuild.adapters.models.faults import Wording
from selfbuild.adapters.models.model_ids import BEDROCK_MODEL
from selfbuild.adapters.models.prices import CLAUDE_PRICES, Price
from selfbuild.adapters.models.provider import Clock, usable_key, utc_now
from selfbuild.domain.base import Value
from selfbuild.domain.errors import Misconfigured, SelfBuildError


class AwsKeys(Value):
    """Credentials in place of those that boto3 finds by itself."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(...)"


class BedrockModel(ClaudeModel):
    """Asks Bedrock, by `invoke` or `invoke-with-response-stream`."""

    vendor_errors = (anthropic.AnthropicError, BotoCoreError, ParserError)

    def __init__(
        self,
        *,
        region: str,
        options: ClaudeOptions | None = None,
        bearer_token: str | None = None,
        keys: AwsKeys | None = None,
        base_url: str | None = None,
        prices: Mapping[str, Price] = CLAUDE_PRICES,
        now: Clock = utc_now,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            bearer_token: A Bedrock API key; it is used instead of any AWS credentials.
            keys: None = what boto3 finds: the environment, a profile, the role of the machine.
            base_url: None = the region's own address.

        Raises:
            Misconfigured: unusable token or address, or a model that is no longer served.
        """
        credentials: dict[str, Any] = {}
        if bearer_token is not None:
            token = usable_key(bearer_token, what="Bedrock API key", setting="AWS_BEARER_TOKEN_BEDROCK")
            credentials = {"api_key": token}
            wording = Wording("bedrock", token)
        elif keys is not None:
            credentials = {
                "aws_access_key": keys.access_key,
                "aws_secret_key": keys.secret_key,
                "aws_session_token": keys.session_token,
            }
            wording = Wording("bedrock", keys.secret_key, keys.session_token)
        else:
            wording = Wording("bedrock")
        try:
            client = anthropic.AsyncAnthropicBedrock(
                aws_region=region,
                base_url=base_url or f"https://bedrock-runtime.{region}.amazonaws.com",
                max_retries=0,
                **credentials,
            )
        except (httpx2.InvalidURL, anthropic.AnthropicError, ValueError) as error:
            raise Misconfigured(
                f"no Bedrock client for region {region!r} and this address: {type(error).__name__}; "
                "AWS keys and AWS_BEARER_TOKEN_BEDROCK exclude each other"
            ) from None
        super().__init__(
            client,
            options or ClaudeOptions(model=BEDROCK_MODEL),
            name="bedrock",
            wording=wording,
            setting="BEDROCK_MODEL or LLM_MODEL",
            instead=BEDROCK_MODEL,
            prices=prices,
            now=now,
        )

    def _translate(self, error: Exception) -> SelfBuildError | None:
        if isinstance(error, BotoCoreError):
            return Misconfigured(f"bedrock has no usable AWS credentials: {type(error).__name__}")
        if isinstance(error, ParserError):
            return self.malformed(type(error).__name__)
        return super()._translate(error)
