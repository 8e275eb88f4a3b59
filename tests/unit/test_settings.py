"""Every setting under its three names, and one clear line for each wrong value."""

from collections.abc import Callable
from pathlib import Path

import pytest

from selfbuild.domain.applications import Mode
from selfbuild.domain.errors import Misconfigured
from selfbuild.settings import ClientSettings, Settings, is_loopback

SECRET = "sbk_very_secret_value"
APPLICATION = """
[[application]]
tenant_id = "acme"
name = "meetnotes"
mode = "auto"

[application.telemetry]
log_group = "/apps/meetnotes"

[application.repository]
url = "repositories/meetnotes.git"

[application.release]
control_url = "http://127.0.0.1:9100"
"""
PROMISED = {
    "mcp_host": "127.0.0.1",
    "mcp_port": 8004,
    "cloudwatch_namespace": "MeetMind/MCPUIHub",
    "cloudwatch_metrics_period": 300,
    "cloudwatch_stream_interval_seconds": 60,
    "cloudwatch_log_group_pattern": "/aws/lambda/happyos-*",
    "cloudwatch_log_sampling_rate": 1.0,
    "cloudwatch_event_dedup_window_seconds": 300,
    "max_telemetry_buffer_size": 10_000,
    "improvement_cycle_interval_hours": 24,
    "improvement_cycle_analysis_window_hours": 24,
    "max_concurrent_improvements": 3,
    "improvement_quality_threshold": 0.85,
    "improvement_risk_tolerance": 0.1,
    "performance_degradation_threshold": 0.20,
    "error_frequency_threshold": 10,
    "monitoring_duration_seconds": 3600,
    "rollback_degradation_threshold": 0.10,
    "llm_max_tokens": 4000,
    "llm_temperature": 0.1,
    "generation_timeout_seconds": 60,
    "circuit_breaker_failure_threshold": 3,
    "circuit_breaker_recovery_timeout": 60,
    "enable_autonomous_improvements": False,
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests gets in."""
    for field in [*Settings.model_fields, "server"]:
        for prefix in ("SELFBUILD_", "SELF_BUILDING_", ""):
            monkeypatch.delenv(prefix + field.upper(), raising=False)


def problems_of(load: Callable[[], object]) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        load()
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("field", "default"), PROMISED.items(), ids=list(PROMISED))
def test_default_is_the_promised_one(field: str, default: object) -> None:
    assert getattr(Settings.load(None), field) == default


@pytest.mark.parametrize("name", ["SELFBUILD_MCP_PORT", "SELF_BUILDING_MCP_PORT", "MCP_PORT", "mcp_port"])
def test_setting_answers_to_each_of_its_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "9001")

    assert Settings.load(None).mcp_port == 9001


def test_own_prefix_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_PORT", "1")
    monkeypatch.setenv("SELF_BUILDING_MCP_PORT", "2")
    monkeypatch.setenv("SELFBUILD_MCP_PORT", "3")

    assert Settings.load(None).mcp_port == 3


def test_env_file_may_have_comments_and_empty_values(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CLOUDWATCH_METRICS_PERIOD=300  # Minimum 60 seconds\nLLM_MODEL=\nSELF_BUILDING_MCP_PORT=81 # x\n")

    settings = Settings.load(file)

    assert (settings.cloudwatch_metrics_period, settings.mcp_port, settings.llm_model) == (300, 81, None)


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MCP_PORT=1\n")
    monkeypatch.setenv("MCP_PORT", "2")

    assert Settings.load(tmp_path / ".env").mcp_port == 2


def test_each_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_BUILDING_MCP_PORT", "x")
    monkeypatch.setenv("CLOUDWATCH_LOG_SAMPLING_RATE", "2")
    monkeypatch.setenv("TENANT_IMPROVEMENT_CONFIGS", "{")

    lines = problems_of(lambda: Settings.load(None))

    assert [line.partition("=")[0] for line in lines] == [
        "MCP_PORT",
        "CLOUDWATCH_LOG_SAMPLING_RATE",
        "TENANT_IMPROVEMENT_CONFIGS",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("CLOUDWATCH_METRICS_PERIOD", "30", "at least 60 seconds", id="period"),
        pytest.param("LLM_PROVIDER", "openai", "set OPENAI_API_KEY", id="openai-without-key"),
        pytest.param("LLM_EFFORT", "huge", "'default', 'low'", id="effort"),
        pytest.param("BEDROCK_ENDPOINT_URL", "localhost:4566", "must start with http", id="bedrock-endpoint"),
        pytest.param("LLM_PROVIDER", "gpt", "unknown", id="unknown-provider"),
        pytest.param("LLM_PROVIDER", "anthropic", "set ANTHROPIC_API_KEY", id="anthropic-without-key"),
        pytest.param("LLM_PROVIDER", "scripted", "set SCRIPTED_ANSWERS", id="scripted-without-answers"),
        pytest.param("MONITORING_DURATION_SECONDS", "60", "three JUDGE_PERIOD_SECONDS", id="too-few-looks"),
        pytest.param("SANDBOX", "none", "'auto', 'bubblewrap', 'landlock' or 'unsafe-local'", id="sandbox"),
        pytest.param("AWS_ENDPOINT_URL", "localhost:4566", "must start with http", id="endpoint"),
        pytest.param("TENANT_IMPROVEMENT_CONFIGS", '{"acme": {"speed": 1}}', "acme.speed", id="tenant-field"),
        pytest.param(
            "TENANT_IMPROVEMENT_CONFIGS",
            '{"acme": {"monitoring_duration_seconds": 60}}',
            "acme.monitoring_duration_seconds",
            id="tenant-looks",
        ),
    ],
)
def test_wrong_value_names_the_setting_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    (line,) = problems_of(lambda: Settings.load(None))

    assert line.startswith(name)
    assert said in line


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MCP_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", SECRET)
    monkeypatch.setenv("STORE_URL", f"postgresql+asyncpg://me:{SECRET}@host/db")
    monkeypatch.setenv("MCP_PORT", "1")

    settings = Settings.load(None)
    assert SECRET not in repr(settings) + str(settings)

    monkeypatch.setenv("MCP_PORT", "x")
    assert SECRET not in "\n".join(problems_of(lambda: Settings.load(None)))


def test_fine_period_is_for_a_local_endpoint_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDWATCH_METRICS_PERIOD", "5")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert Settings.load(None).cloudwatch_metrics_period == 5

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://example.com:4566")
    assert "at least 60" in problems_of(lambda: Settings.load(None))[0]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("127.3.2.1", True),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        (None, False),
    ],
)
def test_loopback_is_told_by_the_host(address: str | None, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_provider_follows_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(None).providers() == ("recipes",)

    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert Settings.load(None).providers() == ("anthropic", "recipes")

    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert Settings.load(None).providers() == ("anthropic", "openai", "recipes")

    monkeypatch.setenv("LLM_PROVIDER", "recipes, bedrock, anthropic")
    assert Settings.load(None).providers() == ("recipes", "bedrock", "anthropic")


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:11434/v1", True),
        ("https://models.example.com/v1", False),
    ],
)
def test_openai_server_on_this_machine_needs_no_key(
    monkeypatch: pytest.MonkeyPatch, url: str, *, accepted: bool
) -> None:
    monkeypatch.setenv("LLM_PROVIDER", "openai,recipes")
    monkeypatch.setenv("OPENAI_BASE_URL", url)

    if accepted:
        assert Settings.load(None).openai_is_local()
        return
    assert problems_of(lambda: Settings.load(None))[0].startswith("LLM_PROVIDER=openai: set OPENAI_API_KEY")


def test_model_is_that_of_the_first_provider_with_a_model_unless_a_provider_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("LLM_PROVIDER", "recipes,bedrock,anthropic,openai")
    monkeypatch.setenv("LLM_MODEL", "first")
    monkeypatch.setenv("LLM_REPAIR_MODEL", "best")
    monkeypatch.setenv("OPENAI_MODEL", "third")
    names = ("recipes", "bedrock", "anthropic", "openai")

    settings = Settings.load(None)
    assert [settings.model_of(name) for name in names] == [None, "first", None, "third"]
    assert [settings.repair_model_of(name) for name in names] == [None, "best", None, None]

    monkeypatch.setenv("BEDROCK_MODEL", "own")
    assert Settings.load(None).model_of("bedrock") == "own"


def test_policy_takes_request_then_tenant_then_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPROVEMENT_QUALITY_THRESHOLD", "0.95")
    monkeypatch.setenv("MONITORING_DURATION_SECONDS", "7200")
    monkeypatch.setenv(
        "TENANT_IMPROVEMENT_CONFIGS",
        '{"acme": {"max_improvements": 2, "analysis_window_hours": 12, "monitoring_duration_seconds": 600}}',
    )
    settings = Settings.load(None)

    everybody, acme = settings.policy(tenant_id="globex"), settings.policy(tenant_id="acme")
    asked = settings.policy(168, 5, tenant_id="acme")

    assert (everybody.max_improvements, everybody.analysis_window_s, everybody.monitoring_duration_s) == (
        3,
        86400,
        7200,
    )
    assert (acme.max_improvements, acme.analysis_window_s, acme.monitoring_duration_s) == (2, 43200, 600)
    assert (asked.max_improvements, asked.analysis_window_s, asked.quality_threshold) == (5, 168 * 3600, 0.95)


def test_windows_in_seconds_replace_those_in_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_WINDOW_SECONDS", "90")
    monkeypatch.setenv("BASELINE_WINDOW_SECONDS", "600")

    policy = Settings.load(None).policy()

    assert (policy.analysis_window_s, policy.baseline_window_s) == (90, 600)


def test_store_lies_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))

    assert Settings.load(None).store_url == f"sqlite+aiosqlite:///{tmp_path}/store.db"


def test_client_needs_no_server_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFBUILD_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("MCP_PORT", "wrong")

    assert ClientSettings.load(None).server == "http://127.0.0.1:9"


def applications_of(path: Path, text: str) -> Settings:
    path.write_text(text)
    return Settings(applications_file=path, _env_file=None)


def test_relative_repository_url_starts_at_the_file(tmp_path: Path) -> None:
    (application,) = applications_of(tmp_path / "apps.toml", APPLICATION).applications()

    assert application.key == "acme/meetnotes"
    assert application.mode is Mode.AUTO
    assert application.repository.url == str(tmp_path / "repositories/meetnotes.git")


@pytest.mark.parametrize("url", ["https://git.example.com/a.git", "git@git.example.com:a.git", "/srv/git/a.git"])
def test_other_repository_urls_stay(tmp_path: Path, url: str) -> None:
    text = APPLICATION.replace("repositories/meetnotes.git", url)

    (application,) = applications_of(tmp_path / "apps.toml", text).applications()

    assert application.repository.url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(APPLICATION.replace('"acme"', '"A B"'), "1 (meetnotes): tenant_id:", id="wrong-name"),
        pytest.param(APPLICATION.replace("log_group", "log_grup"), "telemetry.log_grup: unknown field", id="slip"),
        pytest.param(APPLICATION + APPLICATION, "2 (meetnotes): name: 'acme/meetnotes' stands twice", id="twice"),
        pytest.param("[application]\n", "must be written as [[application]]", id="single-table"),
        pytest.param("x = 1\n", "x: unknown", id="unknown-member"),
        pytest.param("[[", "is not TOML", id="no-toml"),
    ],
)
def test_wrong_applications_file_names_file_table_and_field(tmp_path: Path, text: str, said: str) -> None:
    lines = problems_of(applications_of(tmp_path / "apps.toml", text).applications)

    assert any(said in line for line in lines)
    assert all(line.startswith(str(tmp_path / "apps.toml")) for line in lines)


def test_missing_applications_file_is_named(tmp_path: Path) -> None:
    settings = Settings(applications_file=tmp_path / "none.toml", _env_file=None)

    assert problems_of(settings.applications) == [
        f"{tmp_path}/none.toml: cannot be read: No such file or directory; see APPLICATIONS_FILE"
    ]


def test_without_a_file_nothing_is_watched() -> None:
    assert Settings.load(None).applications() == ()
