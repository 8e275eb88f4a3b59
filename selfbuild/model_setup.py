"""The language models that the settings ask for; the worker and the command line share them.

An SDK costs about a second and 75 MB: only those of the chosen providers are imported, and only when they are built.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from selfbuild.adapters.model_generator import ModelGenerator
from selfbuild.adapters.recipe_generator import RecipeGenerator
from selfbuild.adapters.scripted_generator import ScriptedGenerator
from selfbuild.ports import LanguageModel, PatchGenerator
from selfbuild.settings import Settings


def language_models(settings: Settings) -> dict[str, LanguageModel]:
    """The models by provider, in the order they are asked. Close each after use.

    Raises:
        Misconfigured: a key or an address cannot be used, or a model is no longer served.
    """
    return {name: _MAKERS[name](settings) for name in settings.providers() if name in _MAKERS}


def patch_generators(settings: Settings, models: Mapping[str, LanguageModel]) -> dict[str, PatchGenerator]:
    """All that can be asked for a patch; recipes always can."""
    generators: dict[str, PatchGenerator] = {"recipes": RecipeGenerator()}
    for name, model in models.items():
        generators[name] = ModelGenerator(model, repair_model=settings.repair_model_of(name))
    if settings.scripted_answers is not None:
        generators["scripted"] = ScriptedGenerator(settings.scripted_answers)
    return generators


def _anthropic(settings: Settings) -> LanguageModel:
    from selfbuild.adapters.models import anthropic
    from selfbuild.adapters.models.claude import ClaudeOptions
    from selfbuild.adapters.models.model_ids import CLAUDE_MODEL

    return anthropic.AnthropicModel(
        api_key=_revealed(settings.anthropic_api_key),
        base_url=_revealed(settings.anthropic_base_url) or anthropic.BASE_URL,
        options=ClaudeOptions(
            model=settings.model_of("anthropic") or CLAUDE_MODEL,
            temperature=_chosen_temperature(settings),
            **_common(settings),
        ),
    )


def _bedrock(settings: Settings) -> LanguageModel:
    from selfbuild.adapters.models.bedrock import BedrockModel
    from selfbuild.adapters.models.claude import ClaudeOptions
    from selfbuild.adapters.models.model_ids import BEDROCK_MODEL

    return BedrockModel(
        region=settings.bedrock_region or settings.aws_region,
        bearer_token=_revealed(settings.aws_bearer_token_bedrock),
        base_url=settings.bedrock_endpoint_url,
        options=ClaudeOptions(
            model=settings.model_of("bedrock") or BEDROCK_MODEL,
            temperature=_chosen_temperature(settings),
            **_common(settings),
        ),
    )


def _openai(settings: Settings) -> LanguageModel:
    from selfbuild.adapters.models import openai
    from selfbuild.adapters.models.model_ids import OPENAI_MODEL, reasons

    model = settings.model_of("openai") or OPENAI_MODEL
    # A model that thinks refuses any temperature: only one that was chosen is worth a warning.
    temperature = _chosen_temperature(settings) if reasons(model) else settings.llm_temperature
    return openai.OpenAiModel(
        api_key=_revealed(settings.openai_api_key),
        base_url=_revealed(settings.openai_base_url) or openai.BASE_URL,
        key_required=not settings.openai_is_local(),
        options=openai.OpenAiOptions(model=model, temperature=temperature, **_common(settings)),
    )


_MAKERS: Mapping[str, Callable[[Settings], LanguageModel]] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "openai": _openai,
}


def _common(settings: Settings) -> dict[str, Any]:
    effort = None if settings.llm_effort == "default" else settings.llm_effort
    return {"max_tokens": settings.llm_max_tokens, "effort": effort, "streaming": settings.llm_streaming}


def _chosen_temperature(settings: Settings) -> float | None:
    """The temperature, where somebody chose it."""
    return settings.llm_temperature if "llm_temperature" in settings.model_fields_set else None


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
