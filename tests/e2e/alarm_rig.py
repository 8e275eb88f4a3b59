"""Alarms for real: a local AWS with alarms, EventBridge and SQS; Temporal; the worker as its own process."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from localaws.server import LocalAws
from selfbuild.adapters.alarm_setup import ensure_alarm_queue
from selfbuild.domain.alarms import GateState
from selfbuild.embedded.children import answers, free_ports
from selfbuild.embedded.stack import Plan, Ports, Stack
from selfbuild.live import Execution, LiveWorkflows
from selfbuild.temporal import connect

NAMESPACE = "Rig"
APPLICATION = "shop"
COMPONENT = "cart"
QUEUE = "self-building-alarms"
ALARM_PERIOD_S = 10
KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
METRICS_PERIOD_S = 5
STACK = """\
Traceback (most recent call last):
  File "shop/cart.py", line 12, in assign
    owner = item["owner"]
KeyError: 'owner'
"""
SERVICES = ("cloudwatch", "logs", "sqs", "events")

APPLICATION_TABLE = """
[[application]]
tenant_id = "{tenant}"
name = "shop"
mode = "observe"

[application.telemetry]
namespace = "Rig"
log_group = "/rig/{tenant}"

[application.repository]
url = "/nowhere/shop.git"

[application.release]
control_url = "http://127.0.0.1:1"
"""


@dataclass
class AlarmRig:
    """What runs, and what a test does to it."""

    stack: Stack
    clients: dict[str, Any]

    def watch(self, tenant: str, name: str, *, threshold: float = 0.5) -> None:
        """Put an alarm of ten seconds on the tenant's errors."""
        self.clients["cloudwatch"].put_metric_alarm(
            AlarmName=name,
            Namespace=NAMESPACE,
            MetricName="Errors",
            Dimensions=[{"Name": "tenant_id", "Value": tenant}, {"Name": "component", "Value": COMPONENT}],
            Statistic="Sum",
            Period=ALARM_PERIOD_S,
            EvaluationPeriods=1,
            Threshold=threshold,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )

    def fail(self, tenant: str, count: int = 60) -> float:
        """Let `count` requests fail now; when, in seconds since the epoch."""
        now = time.time()
        lines = [{"timestamp": round(now * 1000), "message": _error_line(tenant, now, n)} for n in range(count)]
        self.clients["logs"].put_log_events(logGroupName=f"/rig/{tenant}", logStreamName="one", logEvents=lines)
        return now

    def alarm_at(self, name: str) -> datetime | None:
        """When the alarm went into ALARM."""
        (alarm,) = self.clients["cloudwatch"].describe_alarms(AlarmNames=[name])["MetricAlarms"]
        changed: datetime = alarm["StateUpdatedTimestamp"]
        return changed if alarm["StateValue"] == "ALARM" else None

    def messages(self) -> int:
        """Messages in the alarm queue, those that somebody holds included."""
        url = self.clients["sqs"].get_queue_url(QueueName=QUEUE)["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    async def live(self) -> LiveWorkflows:
        return LiveWorkflows(await connect(f"127.0.0.1:{self.stack.plan.ports.temporal}", "selfbuild"))

    async def cycle(self, tenant: str) -> Execution | None:
        """The newest cycle of the tenant's application."""
        return await (await self.live()).find(f"cycle/{tenant}/{APPLICATION}")

    async def gate(self, tenant: str) -> GateState:
        """What the gate of the tenant's application has met."""
        client = await connect(f"127.0.0.1:{self.stack.plan.ports.temporal}", "selfbuild")
        handle: Any = client.get_workflow_handle(f"alarm/{tenant}/{APPLICATION}")
        state: GateState = await handle.query("state", result_type=GateState)
        return state

    def kill_worker(self) -> None:
        """SIGKILL, which no process can prepare for."""
        child = self.stack.child("worker")
        child.process.kill()
        child.process.wait()
        self.stack.children.started.remove(child)


@contextmanager
def alarm_rig(state: Path, tenants: Sequence[str], **settings: str) -> Iterator[AlarmRig]:
    """Everything up and the worker listening; nothing of it is left afterwards."""
    state.mkdir(parents=True, exist_ok=True)
    applications = state / "applications.toml"
    applications.write_text("".join(APPLICATION_TABLE.format(tenant=tenant) for tenant in tenants))
    with LocalAws(port=0) as aws:
        clients = {name: boto3.client(name, endpoint_url=aws.endpoint_url, **KEYS) for name in SERVICES}
        stack = Stack(_plan(state, aws.endpoint_url, applications, settings), None)
        try:
            _prepare(clients, tenants)
            _start(stack)
            yield AlarmRig(stack, clients)
        finally:
            stack.children.stop(grace_s=5)
            for client in clients.values():
                client.close()


def _plan(state: Path, endpoint_url: str, applications: Path, settings: dict[str, str]) -> Plan:
    environment = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SELFBUILD_APPLICATIONS_FILE": str(applications),
        "SELFBUILD_CLOUDWATCH_METRICS_PERIOD": str(METRICS_PERIOD_S),
        "SELFBUILD_ANALYSIS_WINDOW_SECONDS": "60",
        "SELFBUILD_BASELINE_WINDOW_SECONDS": "60",
        **settings,
    }
    return Plan(state=state, ports=Ports(*free_ports(6)), settings=environment, example=False)


def _prepare(clients: dict[str, Any], tenants: Sequence[str]) -> None:
    ensure_alarm_queue(clients["sqs"], clients["events"], queue_name=QUEUE)
    for tenant in tenants:
        clients["logs"].create_log_group(logGroupName=f"/rig/{tenant}")
        clients["logs"].create_log_stream(logGroupName=f"/rig/{tenant}", logStreamName="one")


def _start(stack: Stack) -> None:
    temporal = stack.start_temporal()
    stack.children.wait_until(temporal, lambda: answers(stack.plan.ports.temporal), timeout_s=30)
    worker = stack.start_worker()
    stack.children.wait_until(worker, lambda: "worker.started" in worker.log.read_text(), timeout_s=60)


def _error_line(tenant: str, at_s: float, number: int) -> str:
    units = {"ResponseLatency": "Milliseconds", "Requests": "Count", "Errors": "Count"}
    metrics = {
        "Namespace": NAMESPACE,
        "Dimensions": [["component"], ["tenant_id", "component"], ["component", "release"]],
        "Metrics": [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in units.items()],
    }
    return json.dumps(
        {
            "_aws": {"Timestamp": round(at_s * 1000), "CloudWatchMetrics": [metrics]},
            "level": "ERROR",
            "message": "failed",
            "component": COMPONENT,
            "tenant_id": tenant,
            "release": "base",
            "request_id": f"r{number}",
            "ResponseLatency": 5.0,
            "Requests": 1,
            "Errors": 1,
            "error": {
                "type": "KeyError",
                "message": "'owner'",
                "file": "shop/cart.py",
                "line": 12,
                "function": "assign",
            },
            "stack": STACK,
        }
    )
