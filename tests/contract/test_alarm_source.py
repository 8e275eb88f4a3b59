"""What every alarm source promises, run on the fake and on SQS over HTTP; and that the set-up brings alarms there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.alarm_queue import AlarmQueue, make_queue_client
from selfbuild.adapters.alarm_setup import AlarmWiring, ensure_alarm_queue
from selfbuild.adapters.aws import make_client
from selfbuild.domain.alarms import LAMBDA_FAILURE, AlarmMetric, read_event
from selfbuild.domain.errors import AccessDenied, NotFound, SelfBuildError, Throttled, Unreachable
from selfbuild.ports import AlarmSource
from tests.fakes.alarms import NAMESPACE, FakeAlarmSource, a_state_change, an_alarm

QUEUE = "self-building-alarms"
METRIC = {"Namespace": NAMESPACE, "MetricName": "Errors"}
DIMENSIONS = [{"Name": "tenant_id", "Value": "acme"}]


@dataclass
class World:
    """A source, and what happens to it from outside."""

    source: AlarmSource
    send: Callable[[str], None]
    expire: Callable[[str], None]
    """End the visibility time-out of the message with that receipt."""
    raise_alarm: Callable[[str], None]


@dataclass
class Clients:
    """Of one local AWS."""

    sqs: Any
    events: Any
    cloudwatch: Any

    def setup(self, prefix: str = "") -> AlarmWiring:
        return ensure_alarm_queue(self.sqs, self.events, queue_name=QUEUE, prefix=prefix)

    def alarm(self, name: str, state: str | None = "ALARM", **changes: Any) -> None:
        """Create an alarm and put it into a state."""
        fields: dict[str, Any] = {
            **METRIC,
            "Dimensions": DIMENSIONS,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "Statistic": "Sum",
            "TreatMissingData": "ignore",
        }
        wanted = {key: value for key, value in {**fields, **changes}.items() if value is not None}
        self.cloudwatch.put_metric_alarm(AlarmName=name, **wanted)
        if state is not None:
            self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="by hand")


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with pytest.MonkeyPatch.context() as patch, LocalAws(port=0) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server


@pytest.fixture
def clients(aws: LocalAws) -> Iterator[Clients]:
    aws.reset()
    place: dict[str, Any] = {"region": "us-east-1", "endpoint_url": aws.endpoint_url}
    made = Clients(make_queue_client(**place), make_client("events", **place), make_client("cloudwatch", **place))
    yield made
    for client in (made.sqs, made.events, made.cloudwatch):
        client.close()


@pytest.fixture
def queue(clients: Clients) -> World:
    url = clients.setup().queue_url
    return World(
        source=AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE),
        send=lambda body: clients.sqs.send_message(QueueUrl=url, MessageBody=body),
        expire=lambda receipt: clients.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0
        ),
        raise_alarm=clients.alarm,
    )


@pytest.fixture(params=["fake", "sqs"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "sqs":
        made: World = request.getfixturevalue("queue")
        return made
    fake = FakeAlarmSource()
    metrics = (AlarmMetric(namespace=NAMESPACE, name="Errors", dimensions={"tenant_id": "acme"}),)
    return World(
        source=fake,
        send=fake.send,
        expire=lambda receipt: fake.expire(),
        raise_alarm=lambda name: fake.in_alarm.append(an_alarm(name, metrics=metrics)),
    )


def test_message_comes_until_it_is_acknowledged(world: World) -> None:
    world.send("one")
    (first,) = world.source.receive(1)
    assert world.source.receive(0) == ()

    world.expire(first.receipt)
    (again,) = world.source.receive(1)
    world.source.acknowledge(again)

    assert (first.body, again.body) == ("one", "one")
    assert (first.receive_count, again.receive_count) == (1, 2)
    assert world.source.receive(0) == ()


def test_at_most_ten_messages_come_at_once_and_none_is_lost(world: World) -> None:
    for number in range(25):
        world.send(str(number))

    bodies: list[str] = []
    for _ in range(3):
        messages = world.source.receive(1)
        assert len(messages) <= 10
        bodies += [message.body for message in messages]

    assert sorted(bodies, key=int) == [str(number) for number in range(25)]


def test_alarms_in_alarm_are_told_by_prefix_with_their_metrics(world: World) -> None:
    for name in ("shop-slow", "shop-errors", "other"):
        world.raise_alarm(name)

    found = world.source.alarms_in_alarm("shop-")

    assert [alarm.name for alarm in found] == ["shop-errors", "shop-slow"]
    assert found[0].metrics == (AlarmMetric(namespace=NAMESPACE, name="Errors", dimensions={"tenant_id": "acme"}),)
    assert len(world.source.alarms_in_alarm("")) == 3


# SQS and CloudWatch


def test_more_alarms_than_a_page_are_all_told(clients: Clients) -> None:
    source = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE)
    for number in range(101):
        clients.alarm(f"a{number:03}")
    clients.alarm("quiet", "OK")

    assert [alarm.name for alarm in source.alarms_in_alarm("")] == [f"a{number:03}" for number in range(101)]


def test_alarm_on_metric_math_tells_its_metrics(clients: Clients) -> None:
    stat = {"Metric": {**METRIC, "Dimensions": DIMENSIONS}, "Period": 300, "Stat": "Sum"}
    queries = [
        {"Id": "errors", "MetricStat": stat, "ReturnData": False},
        {"Id": "doubled", "Expression": "errors * 2", "ReturnData": True},
    ]
    plain = dict.fromkeys(["Namespace", "MetricName", "Dimensions", "Period", "Statistic"])
    clients.alarm("math", Metrics=queries, **plain)

    (alarm,) = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE).alarms_in_alarm("")

    assert [(each.name, each.dimensions) for each in alarm.metrics] == [("Errors", {"tenant_id": "acme"})]


def test_missing_queue_is_named_with_the_remedy(clients: Clients) -> None:
    source = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name="nowhere")

    with pytest.raises(NotFound, match=r"'nowhere'.*ALARM_QUEUE_NAME"):
        source.receive(0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param({"code": "AccessDenied", "status": 403}, AccessDenied, id="access denied"),
        pytest.param({"code": "Throttling", "status": 400}, Throttled, id="throttled"),
        pytest.param({"reset": True}, Unreachable, id="connection reset"),
    ],
)
@pytest.mark.parametrize("operation", ["ReceiveMessage", "DescribeAlarms"])
def test_errors_say_what_the_caller_should_do(
    queue: World, aws: LocalAws, fault: dict[str, Any], error: type[SelfBuildError], operation: str
) -> None:
    aws.faults.replace_rules([fault_rule({"operation": operation, **fault})])

    with pytest.raises(error, match=operation):
        _ = queue.source.receive(0) if operation == "ReceiveMessage" else queue.source.alarms_in_alarm("")


# Set-up


def test_set_up_twice_changes_nothing(clients: Clients) -> None:
    first = clients.setup(prefix="shop-")
    second = clients.setup(prefix="shop-")

    assert len(first.changed) == 7
    assert second.changed == ()
    assert second.model_copy(update={"changed": first.changed}) == first


def test_set_up_mends_what_differs(clients: Clients) -> None:
    wiring = clients.setup()
    clients.sqs.set_queue_attributes(QueueUrl=wiring.queue_url, Attributes={"VisibilityTimeout": "5"})
    clients.events.remove_targets(Rule=f"{QUEUE}-state-changes", Ids=["self-building-agent"])

    changed = clients.setup(prefix="shop-").changed

    assert f"VisibilityTimeout of queue {QUEUE}" in changed
    assert f"rule {QUEUE}-state-changes" in changed
    assert f"target of rule {QUEUE}-state-changes" in changed
    assert clients.setup(prefix="shop-").changed == ()


def test_set_up_keeps_what_others_wrote(clients: Clients) -> None:
    wiring = clients.setup()
    other = {"Sid": "Other", "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [other]})
    clients.sqs.set_queue_attributes(QueueUrl=wiring.queue_url, Attributes={"Policy": policy})
    clients.events.disable_rule(Name=f"{QUEUE}-lambda-failures")

    changed = clients.setup().changed

    assert changed == ("policy of the queue",)
    attributes = clients.sqs.get_queue_attributes(QueueUrl=wiring.queue_url, AttributeNames=["All"])["Attributes"]
    assert [each["Sid"] for each in json.loads(attributes["Policy"])["Statement"]] == ["Other", "AlarmsFromEventBridge"]
    assert clients.events.describe_rule(Name=f"{QUEUE}-lambda-failures")["State"] == "DISABLED"


def test_alarm_that_goes_into_alarm_reaches_the_queue_and_others_do_not(clients: Clients) -> None:
    clients.setup(prefix="shop-")
    source = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE)

    clients.alarm("other-errors")
    clients.alarm("shop-errors")
    clients.alarm("shop-errors", "OK")

    (message,) = source.receive(1)
    alarm = read_event(message.body)
    assert alarm is not None
    (asked,) = [each for each in source.alarms_in_alarm("") if each.name == "other-errors"]
    assert (alarm.name, alarm.metrics, alarm.reason) == ("shop-errors", asked.metrics, "by hand")
    assert source.receive(0) == ()


def test_event_and_question_date_an_alarm_alike(clients: Clients) -> None:
    clients.setup()
    source = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE)
    clients.alarm("shop-errors")

    (message,) = source.receive(1)
    told, (asked,) = read_event(message.body), source.alarms_in_alarm("")

    assert told is not None
    assert abs((told.changed_at - asked.changed_at).total_seconds()) < 0.01


def test_failed_function_reaches_the_queue(clients: Clients) -> None:
    clients.setup(prefix="shop-")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:notes:$LATEST"
    detail = {"requestContext": {"functionArn": arn, "condition": "RetriesExhausted"}, "responsePayload": None}
    clients.events.put_events(
        Entries=[{"Source": "lambda", "DetailType": LAMBDA_FAILURE, "Detail": json.dumps(detail)}]
    )

    (message,) = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=QUEUE).receive(1)

    alarm = read_event(message.body)
    assert alarm is not None
    assert alarm.function_name == "notes"


def test_message_that_nobody_takes_ends_in_the_dead_letter_queue(clients: Clients, queue: World) -> None:
    queue.send(json.dumps(a_state_change()))
    for _ in range(5):
        (message,) = queue.source.receive(1)
        queue.expire(message.receipt)

    assert queue.source.receive(0) == ()
    dead = AlarmQueue(clients.sqs, clients.cloudwatch, queue_name=f"{QUEUE}-dead")
    assert [json.loads(each.body)["id"] for each in dead.receive(1)] == ["e-1"]
