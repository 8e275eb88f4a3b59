"""All settings, from the environment and `.env`. The only module that reads the environment.

Every setting answers to three names: `SELFBUILD_X`, `SELF_BUILDING_X` and `X`; the first one that is set wins.
"""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from selfbuild.applications_file import read_applications
from selfbuild.domain.applications import Application
from selfbuild.domain.base import TenantId
from selfbuild.domain.budgets import Budget, Budgets
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.errors import Misconfigured

PREFIXES = ("SELFBUILD_", "SELF_BUILDING_", "")
MODEL_PROVIDERS = ("anthropic", "bedrock", "openai")
"""Providers that ask a language model."""
_KNOWN_PROVIDERS = (*MODEL_PROVIDERS, "recipes", "scripted")
_CLOUDWATCH_FINEST_PERIOD_S = 60
"""Standard resolution of CloudWatch metrics; finer periods return nothing for them."""

Ratio = Annotated[float, Field(ge=0, le=1)]
Hours = Annotated[int, Field(ge=1, le=168)]
Seconds = Annotated[int, Field(ge=1)]
PerHour = Annotated[int, Field(ge=1, le=1_000_000)]
CommaList = Annotated[tuple[str, ...], NoDecode]
SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def _names(field: str) -> AliasChoices:
    return AliasChoices(*(prefix + field.upper() for prefix in PREFIXES))


_SOURCES = SettingsConfigDict(
    alias_generator=AliasGenerator(validation_alias=_names),
    populate_by_name=True,
    env_file=".env",
    env_file_encoding="utf-8",
    env_ignore_empty=True,
    extra="ignore",
    frozen=True,
    hide_input_in_errors=True,
    validate_default=True,
)


class TenantOverrides(BaseModel):
    """What one tenant's improvements do differently; None = as for everybody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    analysis_window_hours: Hours | None = None
    max_improvements: Annotated[int, Field(ge=1, le=10)] | None = None
    max_concurrent_improvements: Annotated[int, Field(ge=1, le=10)] | None = None
    quality_threshold: Ratio | None = None
    risk_tolerance: Ratio | None = None
    performance_degradation_threshold: Annotated[float, Field(gt=0)] | None = None
    error_frequency_threshold: Annotated[int, Field(ge=1)] | None = None
    monitoring_duration_seconds: Annotated[int, Field(ge=5)] | None = None
    rollback_degradation_threshold: Annotated[float, Field(gt=0)] | None = None

    def policy_fields(self) -> dict[str, Any]:
        """The overrides under the names of `CyclePolicy`."""
        given = self.model_dump(exclude_none=True, exclude={"analysis_window_hours"})
        if "monitoring_duration_seconds" in given:
            given["monitoring_duration_s"] = given.pop("monitoring_duration_seconds")
        if self.analysis_window_hours is not None:
            given["analysis_window_s"] = self.analysis_window_hours * 3600
        return given


class ClientSettings(BaseSettings):
    """What the command line needs to reach a running server."""

    model_config = _SOURCES

    server: str = "http://127.0.0.1:8004"
    mcp_api_key: SecretStr | None = None

    @classmethod
    def load(cls, env_file: str | Path | None = ".env") -> "ClientSettings":
        """Read the environment and `env_file`. Raises Misconfigured with one line per wrong value."""
        return _load(cls, env_file)


class Settings(BaseSettings):
    """Everything a deployment can choose. Thresholds reach a cycle inside its input, by `policy()`."""

    model_config = _SOURCES

    state_dir: Path = Path(".selfbuild/up")
    """Where this machine keeps its store, artifacts and working copies."""
    store_url: Annotated[str, Field(repr=False)] = Field(
        default_factory=lambda known: f"sqlite+aiosqlite:///{known.get('state_dir', Path('.'))}/store.db"
    )
    """SQLAlchemy URL; `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://...`."""
    applications_file: Path | None = None
    """TOML with the `[[application]]` tables; None = nothing is watched."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: console on a terminal, else JSON."""

    mcp_api_key: SecretStr | None = None
    """Seeds the first administrator key."""
    mcp_host: str = "127.0.0.1"
    mcp_port: Annotated[int, Field(ge=0, le=65535)] = 8004
    mcp_allowed_hosts: CommaList = ()
    """Further values of the `Host` header that are answered, `name:port` or `name:*`, separated by commas."""
    rate_limit_trigger_improvement_cycle: PerHour = 10
    rate_limit_generate_component: PerHour = 20
    rate_limit_get_system_status: PerHour = 100
    rate_limit_query_telemetry_insights: PerHour = 50

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "selfbuild"
    temporal_ui_url: str | None = None

    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None
    cloudwatch_namespace: str = "MeetMind/MCPUIHub"
    cloudwatch_metrics_period: Seconds = 300
    cloudwatch_stream_interval_seconds: Seconds = 60
    cloudwatch_log_group_pattern: str = "/aws/lambda/happyos-*"
    cloudwatch_log_sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    cloudwatch_alarm_prefix: str = ""
    cloudwatch_event_dedup_window_seconds: Annotated[int, Field(ge=0)] = 300
    alarm_queue_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "self-building-alarms"
    """Also begins the names of its dead-letter queue and its rules."""
    alarm_queue_url: str | None = None
    """None = the queue of that name in the worker's own account."""
    max_telemetry_buffer_size: Annotated[int, Field(ge=1)] = 10_000
    telemetry_store_url: Annotated[str | None, Field(repr=False)] = None
    """Folder, or `s3://BUCKET/PREFIX`; None = a folder in STATE_DIR."""
    telemetry_files: Path | None = None
    """Folder of OTLP JSON files that stand in for CloudWatch where it cannot be reached."""
    telemetry_retention_days: Annotated[int, Field(ge=1, le=455)] = 30
    insights_byte_budget: Annotated[int, Field(ge=0)] = 50_000_000_000
    """Bytes that the log queries of one cycle may scan; 0 = without limit."""

    improvement_cycle_interval_hours: Annotated[int, Field(ge=1)] = 24
    improvement_cycle_analysis_window_hours: Hours = 24
    analysis_window_seconds: Annotated[int, Field(ge=10)] | None = None
    """In place of IMPROVEMENT_CYCLE_ANALYSIS_WINDOW_HOURS, for demonstrations that cannot wait an hour."""
    baseline_window_hours: Annotated[int, Field(ge=1)] = 168
    baseline_window_seconds: Annotated[int, Field(ge=10)] | None = None
    """In place of BASELINE_WINDOW_HOURS."""
    max_improvements: Annotated[int, Field(ge=1, le=10)] = 3
    max_concurrent_improvements: Annotated[int, Field(ge=1, le=10)] = 3
    improvement_quality_threshold: Ratio = 0.85
    improvement_risk_tolerance: Ratio = 0.1
    performance_degradation_threshold: Annotated[float, Field(gt=0)] = 0.20
    error_frequency_threshold: Annotated[int, Field(ge=1)] = 10
    monitoring_duration_seconds: Annotated[int, Field(ge=5)] = 3600
    monitoring_check_interval_seconds: Seconds = 60
    judge_period_seconds: Seconds = 60
    rollback_degradation_threshold: Annotated[float, Field(gt=0)] = 0.10
    max_window_extensions: Annotated[int, Field(ge=0, le=4)] = 1
    max_error_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.01
    tenant_improvement_configs: Annotated[dict[TenantId, TenantOverrides], NoDecode] = {}

    llm_provider: CommaList = ()
    """One or several, in the order they are asked: anthropic, bedrock, openai, recipes, scripted. Without it: those of
    anthropic and openai whose key is set, and then recipes."""
    llm_model: str | None = None
    """Of the first provider in that order that has a model; the settings of each provider win."""
    anthropic_model: str | None = None
    bedrock_model: str | None = None
    openai_model: str | None = None
    llm_repair_model: str | None = None
    """What the same first provider asks for the last repair; None = its model."""
    llm_max_tokens: Annotated[int, Field(ge=1)] = 4000
    llm_temperature: Ratio = 0.1
    """Sent only to models that take it; 1 is never sent, because it is every server's own."""
    llm_effort: Literal["default", "low", "medium", "high", "xhigh", "max"] = "low"
    """How much models think; `default` sends none."""
    llm_streaming: bool = False
    """Receive answers in pieces, for proxies that cut silent connections."""
    llm_token_budget_per_cycle: Annotated[int, Field(ge=0)] = 200_000
    """Tokens of questions and answers; 0 = without limit."""
    llm_token_budget_per_day: Annotated[int, Field(ge=0)] = 5_000_000
    llm_token_budget_per_tenant_day: Annotated[int, Field(ge=0)] = 0
    llm_cost_budget_usd_per_cycle: Annotated[float, Field(ge=0)] = 2.0
    llm_cost_budget_usd_per_day: Annotated[float, Field(ge=0)] = 50.0
    llm_cost_budget_usd_per_tenant_day: Annotated[float, Field(ge=0)] = 0.0
    generation_timeout_seconds: Annotated[int, Field(ge=5)] = 60
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: SecretStr | None = None
    """Secret because it may carry credentials."""
    openai_api_key: SecretStr | None = None
    openai_base_url: SecretStr | None = None
    """Of any server that speaks OpenAI's chat completions; one on this machine needs no key."""
    bedrock_region: str | None = None
    """None = AWS_REGION."""
    bedrock_endpoint_url: str | None = None
    """None = the region's own address."""
    aws_bearer_token_bedrock: SecretStr | None = None
    """A Bedrock API key; None = the AWS credentials of the machine."""
    scripted_answers: Path | None = None
    """Folder or file of prepared answers for the provider `scripted`."""
    circuit_breaker_failure_threshold: Annotated[int, Field(ge=1)] = 3
    circuit_breaker_recovery_timeout: Seconds = 60

    sandbox: Literal["auto", "bubblewrap", "landlock", "unsafe-local"] = "auto"

    component_repositories: Annotated[dict[TenantId, SecretStr], NoDecode] = {}
    """Tenant -> git URL or path, secret because a URL may carry credentials; others get one in STATE_DIR/components."""
    max_concurrent_components: Annotated[int, Field(ge=1, le=100)] = 2
    component_allowed_dependencies: CommaList = ("mcp", "pydantic")
    """Packages that generated components may import beside the standard library."""

    enable_self_building: bool = True
    enable_cloudwatch_streaming: bool = True
    enable_autonomous_improvements: bool = False
    enable_component_generation: bool = True
    enable_improvement_rollback: bool = True

    @classmethod
    def load(cls, env_file: str | Path | None = ".env") -> "Settings":
        """Read the environment and `env_file`. Raises Misconfigured with one line per wrong value."""
        return _load(cls, env_file)

    def policy(
        self,
        analysis_window_hours: int | None = None,
        max_improvements: int | None = None,
        *,
        tenant_id: str | None = None,
    ) -> CyclePolicy:
        """The thresholds for one cycle: what the caller asked, else the tenant's, else everybody's."""
        fields: dict[str, Any] = {
            "analysis_window_s": self.analysis_window_seconds or self.improvement_cycle_analysis_window_hours * 3600,
            "baseline_window_s": self.baseline_window_seconds or self.baseline_window_hours * 3600,
            "period_s": self.cloudwatch_metrics_period,
            "max_improvements": self.max_improvements,
            "max_concurrent_improvements": self.max_concurrent_improvements,
            "performance_degradation_threshold": self.performance_degradation_threshold,
            "error_frequency_threshold": self.error_frequency_threshold,
            "quality_threshold": self.improvement_quality_threshold,
            "risk_tolerance": self.improvement_risk_tolerance,
            "monitoring_duration_s": self.monitoring_duration_seconds,
            "check_interval_s": self.monitoring_check_interval_seconds,
            "judge_period_s": self.judge_period_seconds,
            "rollback_degradation_threshold": self.rollback_degradation_threshold,
            "max_window_extensions": self.max_window_extensions,
            "max_error_ratio": self.max_error_ratio,
            "dependency_max_attempts": self.circuit_breaker_failure_threshold,
            "dependency_retry_s": self.circuit_breaker_recovery_timeout,
            "generation_timeout_s": self.generation_timeout_seconds,
        }
        if tenant_id is not None and tenant_id in self.tenant_improvement_configs:
            fields |= self.tenant_improvement_configs[tenant_id].policy_fields()
        if analysis_window_hours is not None:
            fields["analysis_window_s"] = analysis_window_hours * 3600
        if max_improvements is not None:
            fields["max_improvements"] = max_improvements
        return CyclePolicy(**fields)

    def providers(self) -> tuple[str, ...]:
        """Generators in the order they are asked."""
        if self.llm_provider:
            return self.llm_provider
        keys = {"anthropic": self.anthropic_api_key, "openai": self.openai_api_key}
        return (*(name for name, key in keys.items() if key is not None), "recipes")

    def model_of(self, provider: str) -> str | None:
        """The model chosen for a provider; None = the one it asks by itself."""
        own: dict[str, str | None] = {
            "anthropic": self.anthropic_model,
            "bedrock": self.bedrock_model,
            "openai": self.openai_model,
        }
        return own.get(provider) or (self.llm_model if provider == self._first_model_provider() else None)

    def repair_model_of(self, provider: str) -> str | None:
        """The model a provider asks for the last repair; None = its usual one."""
        return self.llm_repair_model if provider == self._first_model_provider() else None

    def _first_model_provider(self) -> str | None:
        return next((name for name in self.providers() if name in MODEL_PROVIDERS), None)

    def openai_is_local(self) -> bool:
        """Whether the provider `openai` is a server on this machine, which needs no key."""
        return self.openai_base_url is not None and is_loopback(self.openai_base_url.get_secret_value())

    def llm_budgets(self) -> Budgets:
        """What models may cost."""
        return Budgets(
            cycle=Budget(tokens=self.llm_token_budget_per_cycle, cost_usd=self.llm_cost_budget_usd_per_cycle),
            day=Budget(tokens=self.llm_token_budget_per_day, cost_usd=self.llm_cost_budget_usd_per_day),
            tenant_day=Budget(
                tokens=self.llm_token_budget_per_tenant_day, cost_usd=self.llm_cost_budget_usd_per_tenant_day
            ),
        )

    def applications(self) -> tuple[Application, ...]:
        """What APPLICATIONS_FILE says. Raises Misconfigured with one line per wrong field."""
        if self.applications_file is None:
            return ()
        return read_applications(
            self.applications_file,
            namespace=self.cloudwatch_namespace,
            log_group=self.cloudwatch_log_group_pattern,
        )

    def feature_flags(self) -> dict[str, bool]:
        """The ENABLE_ settings by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name.startswith("enable_")}

    def rate_limits(self) -> dict[str, int]:
        """Calls per tenant and hour, by tool."""
        prefix = "rate_limit_"
        return {
            name.removeprefix(prefix): getattr(self, name)
            for name in type(self).model_fields
            if name.startswith(prefix)
        }

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("llm_provider", "mcp_allowed_hosts", "component_allowed_dependencies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("tenant_improvement_configs", "component_repositories", mode="before")
    @classmethod
    def _parse_json(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from error

    @field_validator("llm_provider")
    @classmethod
    def _known_providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in _KNOWN_PROVIDERS:
                raise ValueError(f"{name!r} is unknown; choose from {', '.join(_KNOWN_PROVIDERS)}")
        return value

    @field_validator("state_dir", "applications_file", "scripted_answers", "telemetry_files")
    @classmethod
    def _independent_of_folder(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("aws_endpoint_url", "bedrock_endpoint_url", "temporal_ui_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("cloudwatch_metrics_period")
    @classmethod
    def _coarse_enough(cls, value: int, info: ValidationInfo) -> int:
        if value < _CLOUDWATCH_FINEST_PERIOD_S and not is_loopback(info.data.get("aws_endpoint_url")):
            raise ValueError(
                f"must be at least {_CLOUDWATCH_FINEST_PERIOD_S} seconds, except where AWS_ENDPOINT_URL is a loopback "
                "address"
            )
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        problems = list(self._problems())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        """What is wrong with values that are right by themselves, one line each."""
        found = []
        if "anthropic" in self.providers() and self.anthropic_api_key is None:
            found.append("LLM_PROVIDER=anthropic: set ANTHROPIC_API_KEY, or choose LLM_PROVIDER=recipes")
        if "openai" in self.providers() and self.openai_api_key is None and not self.openai_is_local():
            found.append(
                "LLM_PROVIDER=openai: set OPENAI_API_KEY, or OPENAI_BASE_URL to a server on this machine, or choose "
                "LLM_PROVIDER=recipes"
            )
        if "scripted" in self.providers() and self.scripted_answers is None:
            found.append("LLM_PROVIDER=scripted: set SCRIPTED_ANSWERS to the file or folder of prepared answers")
        if self.monitoring_duration_seconds < 3 * self.judge_period_seconds:
            found.append(
                f"MONITORING_DURATION_SECONDS={self.monitoring_duration_seconds}: must hold at least three "
                f"JUDGE_PERIOD_SECONDS ({self.judge_period_seconds})"
            )
        found.extend(self._tenant_problems())
        return found

    def _tenant_problems(self) -> list[str]:
        return [
            f"TENANT_IMPROVEMENT_CONFIGS.{tenant}.monitoring_duration_seconds={overrides.monitoring_duration_seconds}: "
            f"must hold at least three JUDGE_PERIOD_SECONDS ({self.judge_period_seconds})"
            for tenant, overrides in self.tenant_improvement_configs.items()
            if (overrides.monitoring_duration_seconds or 3 * self.judge_period_seconds) < 3 * self.judge_period_seconds
        ]


def is_loopback(address: str | None) -> bool:
    """Whether a URL or host name stays on this machine."""
    if address is None:
        return False
    host = urlsplit(address).hostname if "://" in address else address.strip("[]")
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _load(cls: type[SettingsType], env_file: str | Path | None) -> SettingsType:
    try:
        return cls(_env_file=env_file)
    except ValidationError as error:
        raise Misconfigured("\n".join(_lines(error, cls))) from error


def _lines(error: ValidationError, cls: type[BaseSettings]) -> list[str]:
    """One line per wrong value, without the value of a secret."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            lines.extend(message.split("\n"))
            continue
        field, *inner = (str(part) for part in problem["loc"])
        name = _plain(field)
        path = ".".join([name.upper(), *inner])
        shown = "" if _secret(cls, name.lower()) else f"={problem['input']!r}"
        lines.append(f"{path}{shown}: {message[0].lower()}{message[1:]}")
    return lines


def _plain(name: str) -> str:
    upper = name.upper()
    return next(upper.removeprefix(prefix) for prefix in PREFIXES if upper.startswith(prefix))


def _secret(cls: type[BaseSettings], field: str) -> bool:
    annotation = cls.model_fields[field].annotation if field in cls.model_fields else None
    return "SecretStr" in str(annotation) or field == "store_url"


__all__ = ["ClientSettings", "Settings", "TenantOverrides", "is_loopback"]
