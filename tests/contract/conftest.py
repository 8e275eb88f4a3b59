"""The worlds of the telemetry sources: a fake, CloudWatch over HTTP, and files."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localaws.server import LocalAws
from selfbuild.adapters.cloudwatch import CloudWatchSource, make_client
from selfbuild.adapters.otlp_files import OtlpFilesSource
from tests.contract.telemetry_worlds import LOG_GROUP, Clock, World, put_lines
from tests.fakes.otlp import write_otlp
from tests.fakes.telemetry import FakeTelemetrySource


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with pytest.MonkeyPatch.context() as patch, LocalAws(port=0) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server


@pytest.fixture
def clients(aws: LocalAws) -> Iterator[tuple[Any, Any]]:
    aws.reset()
    made = tuple(
        make_client(name, region="us-east-1", endpoint_url=aws.endpoint_url) for name in ("cloudwatch", "logs")
    )
    made[1].create_log_group(logGroupName=LOG_GROUP)
    made[1].create_log_stream(logGroupName=LOG_GROUP, logStreamName="one")
    yield made[0], made[1]
    for client in made:
        client.close()


@pytest.fixture
def cloudwatch(clients: tuple[Any, Any], clock: Clock) -> World:
    metrics, logs = clients
    source = CloudWatchSource(metrics, logs, clock, settle=timedelta(0))
    return World(source, lambda requests: put_lines(logs, requests))


@pytest.fixture(params=["fake", "cloudwatch", "otlp-files"])
def world(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> World:
    if request.param == "otlp-files":
        files = OtlpFilesSource(tmp_path, clock, settle=timedelta(0))
        return World(files, lambda requests: write_otlp(tmp_path / "telemetry.json", requests))
    if request.param == "cloudwatch":
        made: World = request.getfixturevalue("cloudwatch")
        return made
    fake = FakeTelemetrySource([], clock)
    return World(fake, fake.requests.extend)
