"""The file of the watched applications: every slip of the pen is named with its place."""

from pathlib import Path

import pytest

from selfbuild.applications_file import read_applications
from selfbuild.domain.errors import Misconfigured

HEAD = """
[[application]]
tenant_id = "acme"
name = "shop"
telemetry = { log_group = "/shop" }
repository = { url = "shop.git" }
release = { control_url = "http://127.0.0.1:1" }
"""


def read(tmp_path: Path, metrics: str) -> None:
    path = tmp_path / "applications.toml"
    path.write_text(HEAD.replace('"/shop" }', f'"/shop", metrics = [{metrics}] }}'))
    read_applications(path)


def test_declared_metrics_are_read(tmp_path: Path) -> None:
    read(tmp_path, '{ name = "PoolInUse", measure = "utilization", capacity = 20 }')


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        pytest.param('{ nmae = "x", name = "y" }', r"telemetry\.metrics\.0\.nmae: unknown field", id="unknown field"),
        pytest.param('{ name = "x", statistic = "p999" }', "metric 'x': 'p999' is no statistic", id="statistic"),
        pytest.param('{ name = "x", expression = "errors % 2" }', "metric 'x': .* is not allowed", id="expression"),
        pytest.param(
            '{ name = "x", component = "c" }', "component is for metrics with fixed dimensions", id="component"
        ),
        pytest.param('{ name = "x", capacity = 0 }', r"metrics\.0\.capacity", id="capacity"),
        pytest.param('{ name = "x" }, { name = "x" }', "metric 'x Average' is declared twice", id="twice"),
    ],
)
def test_a_wrong_metric_is_named_with_file_application_and_field(tmp_path: Path, metric: str, problem: str) -> None:
    with pytest.raises(Misconfigured, match=rf"applications\.toml: \[\[application\]\] 1 \(shop\): .*{problem}"):
        read(tmp_path, metric)


def test_an_application_without_a_log_group_takes_the_pattern_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "applications.toml"
    path.write_text(
        '[[application]]\ntenant_id = "acme"\nname = "shop"\n[application.repository]\nurl = "/none.git"\n'
        '[application.release]\ncontrol_url = "http://127.0.0.1:1"\n'
    )

    (application,) = read_applications(path, namespace="Shop", log_group="/aws/lambda/acme-*")

    assert (application.telemetry.namespace, application.telemetry.log_group) == ("Shop", "/aws/lambda/acme-*")
