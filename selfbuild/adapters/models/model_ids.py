"""What a model's id says: whether it is still served, and what it accepts."""

import re
from collections.abc import Mapping
from datetime import date, datetime

import structlog

from selfbuild.domain.errors import Misconfigured

_log = structlog.get_logger()

CLAUDE_MODEL = "claude-sonnet-5-5"
BEDROCK_MODEL = "us.anthropic.claude-sonnet-5-5"
"""An inference profile: most models are not served under their plain id. In other parts of the world another prefix
(`eu.`, `apac.`, `global.`) is needed."""
OPENAI_MODEL = "gpt-6.2-sol"

MODELS_WITHOUT_EFFORT = frozenset({"claude-haiku-4-5", "claude-sonnet-4-5"})
"""They refuse `output_config.effort` with a 400."""

_DATE = re.compile(r"-\d{8}$|-\d{4}-\d{2}-\d{2}$")
_BEDROCK = re.compile(r"^(?:.*/)?(?:[a-z-]+\.)?anthropic\.(?P<id>.+?)(?:-v\d+)?(?::\d+)*(?::\d+k)?$")
_REASONING = re.compile(r"^(?:gpt-[5-9]|gpt-\d{2}|o\d)(?!.*-chat)")


def plain_id(model: str) -> str:
    """The id under which Anthropic itself serves a model: `us.anthropic.claude-x-v1:0` is `claude-x`.

    Ids of other forms, such as the ARN of an application's inference profile, stay as they are.
    """
    found = _BEDROCK.match(model)
    return found["id"] if found else model


def undated(model: str) -> str:
    """The id without its date, under which prices and abilities are listed."""
    return _DATE.sub("", model)


def reasons(model: str) -> bool:
    """Whether an OpenAI id is of a model that thinks: those take an effort and refuse a temperature.

    Source:
        https://developers.openai.com/api/docs/guides/latest-model: temperature and top_p are to be removed unless the
        effort is none, which the current models refuse.
    """
    return _REASONING.match(model) is not None


def require_served(model: str, ends: Mapping[str, str], *, today: date, setting: str, instead: str) -> None:
    """Refuse a model whose last day has come; warn of one whose day is known.

    Args:
        ends: Last days by plain id, in the words of Anthropic's SDK ("November 30th, 2026").
        setting: What chooses the model, for the message.
        instead: An id that is served.

    Raises:
        Misconfigured: the day has come; the text names it.
    """
    plain = plain_id(model)
    last_day = ends.get(plain) or ends.get(undated(plain))
    if last_day is None:
        return
    ended_on = datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd|th)", "", last_day), "%B %d, %Y").date()
    if ended_on <= today:
        raise Misconfigured(f"model {model!r} ended on {ended_on.isoformat()}: set {setting}, for example {instead!r}")
    _log.warning("model.deprecated", model=model, ends_on=ended_on.isoformat(), remedy=f"set {setting}={instead}")
