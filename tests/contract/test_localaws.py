"""The embedded AWS over real HTTP, asked by unmodified boto3 clients."""

import contextlib
import datetime as dt
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from localaws.server import LocalAws

NAMESPACE = "Shop/Orders"
DIMENSIONS = [{"Name": "component", "Value": "checkout"}, {"Name": "tenant_id", "Value": "acme"}]
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
BASE = (NOW - dt.timedelta(minutes=30)).replace(second=0)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalAws]:
    with LocalAws(source=random.Random(7)) as aws:
        yield aws


@pytest.fixture
def aws(server: LocalAws) -> LocalAws:
    server.reset()
    return server


@pytest.fixture
def client(aws: LocalAws) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(service: str, *, attempts: int = 1) -> Any:
        made.append(
            boto3.client(
                service,
                endpoint_url=aws.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=10),
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def control(aws: LocalAws, method: str, path: str, body: Any = None) -> Any:
    payload = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{aws.endpoint_url}/_local/{path}", payload, method=method)
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


T = TypeVar("T")


def wait_for(ask: Callable[[], T | None], *, within_s: float = 10.0) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = ask()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing within {within_s} s")


def metric_query(query_id: str, name: str, stat: str, *, period_s: int = 60, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": DIMENSIONS}
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period_s, "Stat": stat}, **more}


def values_of(cloudwatch: Any, queries: list[dict[str, Any]], **more: Any) -> dict[str, list[float]]:
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=BASE, EndTime=NOW, ScanBy="TimestampAscending", **more
    )
    return {item["Id"]: item["Values"] for item in answer["MetricDataResults"]}


def put_latencies(cloudwatch: Any, *, minutes: int = 3) -> None:
    for minute in range(minutes):
        cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": "Latency",
                    "Dimensions": DIMENSIONS,
                    "Timestamp": BASE + dt.timedelta(minutes=minute),
                    "Values": [float(value) for value in range(1, 101)],
                    "Unit": "Milliseconds",
                }
            ],
        )


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_statistics_of_published_values(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    put_latencies(cloudwatch, minutes=1)
    stats = ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "TC(95:)", "PR(:25)", "tm90", "IQM"]

    found = values_of(cloudwatch, [metric_query(f"q{i}", "Latency", stat) for i, stat in enumerate(stats)])

    assert [found[f"q{i}"] for i in range(len(stats))] == [
        [50.5],
        [5050.0],
        [1.0],
        [100.0],
        [100.0],
        [50.5],
        [5.0],
        [25.0],
        [45.5],
        [50.5],
    ]


def test_counts_and_statistic_sets_add_up(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    common = {"MetricName": "Mixed", "Dimensions": DIMENSIONS, "Timestamp": BASE}
    sums = {"SampleCount": 4.0, "Sum": 13.0, "Minimum": 1.0, "Maximum": 10.0}
    cloudwatch.put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            common | {"Values": [1.0, 10.0], "Counts": [3.0, 1.0]},
            common | {"StatisticValues": sums},
            common | {"Value": 100.0},
        ],
    )

    found = values_of(
        cloudwatch,
        [
            metric_query("n", "Mixed", "SampleCount"),
            metric_query("total", "Mixed", "Sum"),
            metric_query("top", "Mixed", "Maximum"),
            metric_query("p", "Mixed", "p50"),
        ],
    )

    assert found == {"n": [9.0], "total": [126.0], "top": [100.0], "p": []}


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        pytest.param({"Values": [1.0] * 151}, "InvalidParameterValue", id="too-many-values"),
        pytest.param({"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue", id="counts-differ"),
        pytest.param({"Value": float("nan")}, "InvalidParameterValue", id="nan"),
        pytest.param({"Value": 1.0, "Timestamp": NOW - dt.timedelta(days=20)}, "InvalidParameterValue", id="old"),
        pytest.param({}, "InvalidParameterCombination", id="no-value"),
    ],
)
def test_bad_datum_is_refused(client: Callable[..., Any], datum: dict[str, Any], code: str) -> None:
    cloudwatch = client("cloudwatch")

    found, _ = refusal(
        lambda: cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[{"MetricName": "x", **datum}])
    )

    assert found == code


def test_more_than_1000_datums_are_refused(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    data = [{"MetricName": "x", "Value": 1.0}] * 1001

    assert refusal(lambda: cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data))[0] == (
        "InvalidParameterValue"
    )


def test_metric_math_divides_series_and_fills_gaps(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    for name, minutes, value in (("Errors", [1], 5.0), ("Requests", [0, 1], 100.0)):
        cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": DIMENSIONS,
                    "Timestamp": BASE + dt.timedelta(minutes=minute),
                    "Value": value,
                }
                for minute in minutes
            ],
        )

    found = values_of(
        cloudwatch,
        [
            metric_query("e", "Errors", "Sum", ReturnData=False),
            metric_query("r", "Requests", "Sum", ReturnData=False),
            {"Id": "rate", "Expression": "100 * e / r"},
            {"Id": "filled", "Expression": "IF(r > 0, 100 * FILL(e, 0) / r)"},
        ],
    )

    assert found == {"rate": [5.0], "filled": [0.0, 5.0]}


@pytest.mark.parametrize(
    "expression",
    [
        "ANOMALY_DETECTION_BAND(m)",
        "SEARCH('{Shop/Orders} Latency', 'Sum')",
        'SELECT AVG(Latency) FROM "Shop/Orders"',
        "m + nowhere",
        "m +",
    ],
)
def test_unsupported_expression_is_refused(client: Callable[..., Any], expression: str) -> None:
    cloudwatch = client("cloudwatch")

    code, message = refusal(
        lambda: values_of(cloudwatch, [metric_query("m", "Latency", "Sum"), {"Id": "x", "Expression": expression}])
    )

    assert code == "ValidationError"
    assert "Error in expression" in message


def test_buckets_align_to_short_periods(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    for second in (3, 7, 8):
        cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": "Ticks",
                    "Dimensions": DIMENSIONS,
                    "Timestamp": BASE + dt.timedelta(seconds=second),
                    "Value": 1.0,
                    "StorageResolution": 1,
                }
            ],
        )

    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[metric_query("t", "Ticks", "Sum", period_s=5)],
        StartTime=BASE + dt.timedelta(seconds=2),
        EndTime=NOW,
    )["MetricDataResults"][0]

    assert answer["Values"] == [2.0, 1.0]
    assert answer["Timestamps"] == [BASE + dt.timedelta(seconds=5), BASE]


def test_get_metric_data_pages_without_loss(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    put_latencies(cloudwatch, minutes=4)
    queries = [metric_query(f"q{i}", "Latency", "Sum") for i in range(3)]
    pages = list(
        cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=BASE, EndTime=NOW, MaxDatapoints=5
        )
    )

    shown = [(item["Id"], at) for page in pages for item in page["MetricDataResults"] for at in item["Timestamps"]]

    assert len(pages) == 3
    assert len(shown) == len(set(shown)) == 12
    assert pages[0]["MetricDataResults"][1]["StatusCode"] == "PartialData"


def test_501_queries_and_bad_tokens_are_refused(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    many = [metric_query(f"q{i}", "Latency", "Sum") for i in range(501)]

    assert refusal(lambda: values_of(cloudwatch, many))[0] == "ValidationError"
    assert refusal(lambda: values_of(cloudwatch, many[:1], NextToken="zzz"))[0] == "InvalidNextToken"


def test_list_metrics_filters_and_pages(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    put_latencies(cloudwatch)
    cloudwatch.put_metric_data(
        Namespace="Bulk", MetricData=[{"MetricName": f"m{number}", "Value": 1.0} for number in range(600)]
    )
    paginator = cloudwatch.get_paginator("list_metrics")

    bulk = [item for page in paginator.paginate(Namespace="Bulk") for item in page["Metrics"]]
    mine = cloudwatch.list_metrics(Dimensions=[{"Name": "tenant_id", "Value": "acme"}])["Metrics"]
    none = cloudwatch.list_metrics(Dimensions=[{"Name": "tenant_id", "Value": "other"}])["Metrics"]

    assert len({item["MetricName"] for item in bulk}) == 600
    assert mine == [{"Namespace": NAMESPACE, "MetricName": "Latency", "Dimensions": DIMENSIONS}]
    assert none == []


def test_get_metric_statistics_gives_percentiles_and_isolates_dimensions(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    put_latencies(cloudwatch)
    request = {"Namespace": NAMESPACE, "MetricName": "Latency", "StartTime": BASE, "EndTime": NOW, "Period": 60}

    points = cloudwatch.get_metric_statistics(
        **request, Dimensions=DIMENSIONS, Statistics=["SampleCount"], ExtendedStatistics=["p95"]
    )["Datapoints"]
    without = cloudwatch.get_metric_statistics(**request, Statistics=["Sum"])["Datapoints"]
    code, _ = refusal(lambda: cloudwatch.get_metric_statistics(**request | {"Period": 1}, Statistics=["Sum"]))

    assert [point["SampleCount"] for point in points] == [100.0] * 3
    assert points[0]["ExtendedStatistics"]["p95"] == pytest.approx(95.05)
    assert points[0]["Unit"] == "Milliseconds"
    assert without == []
    assert code == "InvalidParameterCombination"


def make_stream(logs: Any, *, group: str = "/shop/orders") -> dict[str, str]:
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    return {"logGroupName": group, "logStreamName": "one"}


def put_lines(logs: Any, stream: dict[str, str], messages: list[str], *, at: dt.datetime = BASE) -> dict[str, Any]:
    at_ms = int(at.timestamp() * 1000)
    events = [{"timestamp": at_ms + number, "message": message} for number, message in enumerate(messages)]
    answer: dict[str, Any] = logs.put_log_events(**stream, logEvents=events)
    return answer


def test_embedded_metrics_have_every_dimension_set_and_percentiles(client: Callable[..., Any]) -> None:
    cloudwatch, logs = client("cloudwatch"), client("logs")
    stream = make_stream(logs)
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["component", "tenant_id"], ["component"]],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds", "StorageResolution": 1}],
    }
    metadata = {"Timestamp": int(BASE.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    document = {"component": "checkout", "tenant_id": "acme", "Latency": list(range(1, 101)), "_aws": metadata}
    put_lines(logs, stream, [json.dumps(document)], at=NOW - dt.timedelta(minutes=1))

    found = values_of(cloudwatch, [metric_query("p", "Latency", "p95"), metric_query("slow", "Latency", "TC(90.5:)")])
    listed = cloudwatch.list_metrics(Namespace=NAMESPACE)["Metrics"]

    assert found == {"p": [pytest.approx(95.05)], "slow": [10.0]}
    assert [[item["Name"] for item in metric["Dimensions"]] for metric in listed] == [
        ["component", "tenant_id"],
        ["component"],
    ]


LINES = [
    json.dumps({"level": "ERROR", "error": {"type": "KeyError", "file": "logic.py"}, "ms": 120, "route": "/a"}),
    json.dumps({"level": "INFO", "ms": 12.5, "route": "/b", "user": None}),
    "plain ERROR text with code 503",
    "plain warning: disk-full",
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("", [0, 1, 2, 3], id="everything"),
        pytest.param("ERROR", [0, 2], id="term"),
        pytest.param("plain ERROR", [2], id="all-terms"),
        pytest.param("?warning ?INFO", [1, 3], id="optional"),
        pytest.param("plain -ERROR", [3], id="exclusion"),
        pytest.param('"warning: disk-full"', [3], id="phrase"),
        pytest.param("%code [45][0-9]{2}%", [2], id="regex"),
        pytest.param('{ $.level = "ERROR" && $.error.type = * }', [0], id="json-and"),
        pytest.param("{ $.ms < 100 || $.ms >= 120 }", [0, 1], id="json-numbers"),
        pytest.param('{ $.level != "ERROR" }', [1], id="json-not-equal"),
        pytest.param('{ $.error.type = "Key*" }', [0], id="json-wildcard"),
        pytest.param("{ $.user IS NULL }", [1], id="json-null"),
        pytest.param("{ $.error NOT EXISTS }", [1], id="json-not-exists"),
        pytest.param("{ $.error.type = %^Key% }", [0], id="json-regex"),
    ],
)
def test_filter_pattern_selects(client: Callable[..., Any], pattern: str, expected: list[int]) -> None:
    logs = client("logs")
    put_lines(logs, make_stream(logs), LINES)

    events = logs.filter_log_events(logGroupName="/shop/orders", filterPattern=pattern)["events"]

    assert [event["message"] for event in events] == [LINES[index] for index in expected]


@pytest.mark.parametrize("pattern", ["{ $.a = }", "{ a = 1 }", "[w1, w2]", "{ $.a > x }", "%(%"])
def test_bad_filter_pattern_is_refused(client: Callable[..., Any], pattern: str) -> None:
    logs = client("logs")
    make_stream(logs)

    code, message = refusal(lambda: logs.filter_log_events(logGroupName="/shop/orders", filterPattern=pattern))

    assert code == "InvalidParameterException"
    assert "filter pattern" in message


def test_filter_log_events_pages_across_streams_in_time_order(client: Callable[..., Any]) -> None:
    logs = client("logs")
    stream = make_stream(logs)
    logs.create_log_stream(logGroupName="/shop/orders", logStreamName="two")
    put_lines(logs, stream, [f"a{number}" for number in range(5)])
    put_lines(logs, stream | {"logStreamName": "two"}, [f"b{number}" for number in range(5)])
    paginator = logs.get_paginator("filter_log_events")

    pages = list(paginator.paginate(logGroupName="/shop/orders", limit=4))

    messages = [event["message"] for page in pages for event in page["events"]]
    assert [len(page["events"]) for page in pages] == [4, 4, 2]
    assert messages == [f"{letter}{number}" for number in range(5) for letter in "ab"]


def test_put_log_events_checks_its_batch(client: Callable[..., Any]) -> None:
    logs = client("logs")
    stream = make_stream(logs)
    now_ms = int(NOW.timestamp() * 1000)
    backwards = [{"timestamp": now_ms, "message": "b"}, {"timestamp": now_ms - 1, "message": "a"}]
    large = [{"timestamp": now_ms, "message": "x" * 600_000}] * 2

    assert "chronological" in refusal(lambda: logs.put_log_events(**stream, logEvents=backwards))[1]
    assert "too large" in refusal(lambda: logs.put_log_events(**stream, logEvents=large))[1]
    old = put_lines(logs, stream, ["old"], at=NOW - dt.timedelta(days=15))
    assert old["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    put_lines(logs, stream, ["first", "second"])
    shown = logs.get_log_events(**stream, startFromHead=True)["events"]
    assert [event["message"] for event in shown] == ["first", "second"]


def test_metric_filter_counts_matching_events(client: Callable[..., Any]) -> None:
    cloudwatch, logs = client("cloudwatch"), client("logs")
    stream = make_stream(logs)
    transformation = {"metricName": "Failures", "metricNamespace": NAMESPACE, "metricValue": "1", "defaultValue": 0}
    for _ in range(2):
        logs.put_metric_filter(
            logGroupName="/shop/orders",
            filterName="failures",
            filterPattern='{ $.level = "ERROR" }',
            metricTransformations=[transformation],
        )
    put_lines(logs, stream, LINES)
    put_lines(logs, stream, ["fine"], at=BASE + dt.timedelta(minutes=1))
    metric = {"Namespace": NAMESPACE, "MetricName": "Failures"}

    found = values_of(cloudwatch, [{"Id": "f", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}])

    assert found == {"f": [1.0, 0.0]}
    assert len(logs.describe_metric_filters(logGroupName="/shop/orders")["metricFilters"]) == 1


def start_query(logs: Any, query: str) -> str:
    answer = logs.start_query(
        logGroupName="/shop/orders",
        startTime=int(BASE.timestamp()) - 60,
        endTime=int(NOW.timestamp()),
        queryString=query,
    )
    return str(answer["queryId"])


def query_rows(logs: Any, query: str) -> list[dict[str, str]]:
    answer = logs.get_query_results(queryId=start_query(logs, query))
    assert answer["status"] == "Complete"
    return [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]


def test_insights_groups_errors(client: Callable[..., Any]) -> None:
    logs = client("logs")
    put_lines(logs, make_stream(logs), [*LINES, LINES[0]])

    rows = query_rows(
        logs,
        'filter level = "ERROR" and ispresent(error.type) '
        "| stats count(*) as hits, pct(ms, 95) as p95 by error.type, bin(1h) | sort hits desc | limit 5",
    )

    assert len(rows) == 1
    assert (rows[0]["error.type"], rows[0]["hits"], rows[0]["p95"]) == ("KeyError", "2", "120")
    assert rows[0]["bin(1h)"].endswith(":00:00.000")


def test_insights_reports_what_it_scanned(client: Callable[..., Any]) -> None:
    logs = client("logs")
    put_lines(logs, make_stream(logs), LINES)

    answer = logs.get_query_results(queryId=start_query(logs, "fields @message | filter @message like /ERROR/"))

    statistics = answer["statistics"]
    assert (statistics["recordsMatched"], statistics["recordsScanned"]) == (2.0, 4.0)
    assert statistics["bytesScanned"] == sum(len(line) for line in LINES)
    assert "@ptr" in [cell["field"] for cell in answer["results"][0]]


@pytest.mark.parametrize(
    "query",
    ["filter @timestamp > ago(1h)", "fields @message | pattern @message", "stats count(*", "filter level =", "sort"],
)
def test_insights_refuses_what_it_cannot_run(client: Callable[..., Any], query: str) -> None:
    logs = client("logs")
    make_stream(logs)

    assert refusal(lambda: start_query(logs, query))[0] == "MalformedQueryException"


def test_insights_query_can_be_stopped_until_it_is_complete(client: Callable[..., Any]) -> None:
    logs = client("logs")
    make_stream(logs)
    waiting, done = start_query(logs, "fields @message"), start_query(logs, "fields @message")
    logs.get_query_results(queryId=done)

    assert logs.stop_query(queryId=waiting)["success"] is True
    assert logs.get_query_results(queryId=waiting)["status"] == "Cancelled"
    assert refusal(lambda: logs.stop_query(queryId=done))[0] == "InvalidParameterException"


def make_queue(sqs: Any, name: str) -> tuple[str, str]:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def receive(sqs: Any, url: str) -> dict[str, Any] | None:
    messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", [])
    if not messages:
        return None
    sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    body: dict[str, Any] = json.loads(messages[0]["Body"])
    return body


def put_alarm(cloudwatch: Any, **more: Any) -> None:
    cloudwatch.put_metric_alarm(
        **{
            "AlarmName": "checkout-errors",
            "Namespace": NAMESPACE,
            "MetricName": "Errors",
            "Dimensions": DIMENSIONS,
            "Statistic": "Sum",
            "Period": 1,
            "EvaluationPeriods": 1,
            "Threshold": 3.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            **more,
        }
    )


def test_alarm_reaches_sqs_through_eventbridge_and_sns(client: Callable[..., Any]) -> None:
    cloudwatch, events, sns, sqs = (client(name) for name in ("cloudwatch", "events", "sns", "sqs"))
    event_url, event_arn = make_queue(sqs, "events")
    note_url, note_arn = make_queue(sqs, "notes")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=note_arn)
    events.put_rule(
        Name="alarms",
        EventPattern=json.dumps(
            {
                "source": ["aws.cloudwatch"],
                "detail-type": ["CloudWatch Alarm State Change"],
                "detail": {"alarmName": [{"prefix": "checkout-"}], "state": {"value": ["ALARM"]}},
            }
        ),
    )
    events.put_targets(Rule="alarms", Targets=[{"Id": "queue", "Arn": event_arn}])
    put_alarm(cloudwatch, AlarmActions=[topic])
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] in ("INSUFFICIENT_DATA", "OK")
    wait_for(lambda: cloudwatch.describe_alarms(StateValue="OK")["MetricAlarms"] or None)

    cloudwatch.put_metric_data(
        Namespace=NAMESPACE, MetricData=[{"MetricName": "Errors", "Dimensions": DIMENSIONS, "Value": 5.0}]
    )
    event = wait_for(lambda: receive(sqs, event_url))
    note = wait_for(lambda: receive(sqs, note_url))

    assert (event["source"], event["detail-type"]) == ("aws.cloudwatch", "CloudWatch Alarm State Change")
    detail = event["detail"]
    assert (detail["previousState"]["value"], detail["state"]["value"]) == ("OK", "ALARM")
    assert json.loads(detail["state"]["reasonData"])["recentDatapoints"] == [5.0]
    assert detail["configuration"]["metrics"][0]["metricStat"] == {
        "metric": {
            "namespace": NAMESPACE,
            "name": "Errors",
            "dimensions": {"component": "checkout", "tenant_id": "acme"},
        },
        "period": 1,
        "stat": "Sum",
    }
    assert json.loads(note["Message"])["NewStateValue"] == "ALARM"
    wait_for(lambda: cloudwatch.describe_alarms(StateValue="OK")["MetricAlarms"] or None)
    history = cloudwatch.describe_alarm_history(AlarmName="checkout-errors", HistoryItemType="StateUpdate")
    summaries = [item["HistorySummary"] for item in history["AlarmHistoryItems"]]
    assert summaries[:2] == ["Alarm updated from ALARM to OK", "Alarm updated from OK to ALARM"]


def test_alarm_on_metric_math_evaluates(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    queries = [
        metric_query("e", "Errors", "Sum", period_s=1, ReturnData=False),
        metric_query("r", "Requests", "Sum", period_s=1, ReturnData=False),
        {"Id": "ratio", "Expression": "100 * e / r", "ReturnData": True},
    ]
    cloudwatch.put_metric_alarm(
        AlarmName="ratio",
        Metrics=queries,
        EvaluationPeriods=1,
        Threshold=10.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {"MetricName": name, "Dimensions": DIMENSIONS, "Value": value}
            for name, value in (("Errors", 2.0), ("Requests", 10.0))
        ],
    )

    alarm = wait_for(lambda: (cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"] or [None])[0])

    assert alarm["AlarmName"] == "ratio"
    assert "[20.0]" in alarm["StateReason"]


def test_new_alarm_lacks_data_and_can_be_set_by_hand(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    put_alarm(cloudwatch, Period=3600, TreatMissingData="missing")

    before = cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"]
    cloudwatch.set_alarm_state(AlarmName="checkout-errors", StateValue="ALARM", StateReason="drill")
    put_alarm(cloudwatch, Period=3600, TreatMissingData="ignore", Threshold=4.0)
    after = cloudwatch.describe_alarms(AlarmNames=["checkout-errors"])["MetricAlarms"][0]

    assert before == "INSUFFICIENT_DATA"
    assert (after["StateValue"], after["StateReason"], after["Threshold"]) == ("ALARM", "drill", 4.0)


def test_alarm_may_use_a_trimmed_count(client: Callable[..., Any]) -> None:
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="slow",
        Namespace=NAMESPACE,
        MetricName="Latency",
        ExtendedStatistic="TC(500:)",
        Period=10,
        EvaluationPeriods=1,
        Threshold=3.0,
        ComparisonOperator="GreaterThanThreshold",
    )

    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["ExtendedStatistic"] == "TC(500:)"


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        pytest.param("cloudwatch", "put_composite_alarm", {"AlarmName": "a", "AlarmRule": "TRUE"}, id="composite"),
        pytest.param("cloudwatch", "describe_anomaly_detectors", {}, id="anomaly-detectors"),
        pytest.param("logs", "describe_query_definitions", {}, id="logs"),
        pytest.param("iam", "simulate_principal_policy", {"PolicySourceArn": "arn:aws:iam::1:role/x" + "y" * 9,
                     "ActionNames": ["s3:GetObject"]}, id="query-protocol"),
        pytest.param("bedrock", "list_foundation_models", {}, id="rest-json"),
    ],
)  # fmt: skip
def test_unsupported_operation_is_named(
    client: Callable[..., Any], service: str, operation: str, params: dict[str, Any]
) -> None:
    code, message = refusal(lambda: getattr(client(service), operation)(**params))

    assert code == "NotImplemented"
    assert operation.replace("_", "") in message.lower().replace("_", "")


def test_services_of_moto_answer(client: Callable[..., Any]) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="artifacts")
    s3.put_object(Bucket="artifacts", Key="a b/c.json", Body=b"{}")
    again = refusal(lambda: s3.put_object(Bucket="artifacts", Key="a b/c.json", Body=b"x", IfNoneMatch="*"))

    body = s3.get_object(Bucket="artifacts", Key="a b/c.json")["Body"]

    assert client("sts").get_caller_identity()["Account"] == "123456789012"
    assert body.read() == b"{}"
    assert again[0] == "PreconditionFailed"
    assert s3.head_object(Bucket="artifacts", Key="a b/c.json")["ContentLength"] == 2


def test_disabled_rule_is_silent_and_two_targets_both_receive(client: Callable[..., Any]) -> None:
    events, sqs = client("events"), client("sqs")
    first_url, first_arn = make_queue(sqs, "first")
    second_url, second_arn = make_queue(sqs, "second")
    for name, state in (("off", "DISABLED"), ("on", "ENABLED")):
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["shop"]}), State=state)
        targets = [{"Id": "1", "Arn": first_arn}, {"Id": "2", "Arn": second_arn}]
        events.put_targets(Rule=name, Targets=targets)

    events.put_events(Entries=[{"Source": "shop", "DetailType": "sale", "Detail": "{}"}])

    for url in (first_url, second_url):
        count = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert count["Attributes"]["ApproximateNumberOfMessages"] == "1"


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        pytest.param("cloudwatch", "ListMetrics", lambda c: c.list_metrics(), id="cbor"),
        pytest.param("logs", "DescribeLogGroups", lambda c: c.describe_log_groups(), id="json"),
        pytest.param("sqs", "ListQueues", lambda c: c.list_queues(), id="json-query-compatible"),
        pytest.param("sts", "GetCallerIdentity", lambda c: c.get_caller_identity(), id="query"),
        pytest.param("s3", "ListBuckets", lambda c: c.list_buckets(), id="rest-xml"),
        pytest.param("lambda", "ListFunctions", lambda c: c.list_functions(), id="rest-json"),
    ],
)
def test_injected_error_arrives_in_every_protocol(
    aws: LocalAws, client: Callable[..., Any], service: str, operation: str, call: Callable[[Any], Any]
) -> None:
    rule = {"service": service, "operation": operation, "code": "AccessDenied", "times": 1}
    control(aws, "POST", "faults", [rule])
    target = client(service)

    code, _ = refusal(lambda: call(target))

    assert code == "AccessDenied"
    assert call(target)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert [(entry["operation"], entry["fault"]) for entry in control(aws, "GET", "calls")] == [
        (operation, "AccessDenied"),
        (operation, None),
    ]


def test_client_survives_two_throttles_and_the_ledger_counts_them(aws: LocalAws, client: Callable[..., Any]) -> None:
    control(aws, "POST", "faults", {"service": "cloudwatch", "code": "Throttling", "times": 2})

    client("cloudwatch", attempts=3).list_metrics()

    assert [entry["status"] for entry in control(aws, "GET", "calls")] == [400, 400, 200]
    assert control(aws, "DELETE", "calls") == []
    assert control(aws, "DELETE", "faults") == []


def test_connection_reset_truncation_and_latency(aws: LocalAws, client: Callable[..., Any]) -> None:
    logs = client("logs")
    make_stream(logs)
    control(aws, "POST", "faults", {"service": "logs", "reset": True, "times": 1})
    with pytest.raises(ConnectionClosedError):
        logs.describe_log_groups()

    control(aws, "POST", "faults", {"service": "logs", "truncate": True, "latency_ms": 150})
    started_s = time.monotonic()
    answer = logs.describe_log_groups()

    assert time.monotonic() - started_s >= 0.15
    assert "logGroups" not in answer


def test_seeded_probability_disturbs_about_its_share(aws: LocalAws, client: Callable[..., Any]) -> None:
    control(aws, "POST", "faults", {"service": "sts", "code": "InternalFailure", "probability": 0.5})
    sts = client("sts")
    for _ in range(40):
        with contextlib.suppress(ClientError):
            sts.get_caller_identity()

    assert 10 <= control(aws, "GET", "faults")[0]["disturbed"] <= 30


def test_quota_throttles_the_surplus(aws: LocalAws, client: Callable[..., Any]) -> None:
    control(aws, "POST", "quotas", {"cloudwatch:ListMetrics": 1})
    cloudwatch = client("cloudwatch")
    cloudwatch.list_metrics()

    assert refusal(cloudwatch.list_metrics) == ("Throttling", "Rate exceeded")


def test_control_refuses_unknown_rules_and_tells_health(aws: LocalAws) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(aws, "POST", "faults", {"servise": "logs", "code": "X"})
    with caught.value:
        assert "servise" in json.load(caught.value)["error"]

    assert control(aws, "GET", "health") == {"ok": True, "alarms_alive": True, "metric_points": 0}


def test_command_serves_until_terminated_and_names_a_busy_port() -> None:
    command = [sys.executable, "-m", "localaws", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as run:
        assert run.stdout is not None
        line = run.stdout.readline()
        url = line.split()[-1]
        with urllib.request.urlopen(f"{url}/_local/health", timeout=5) as reply:
            healthy = json.load(reply)["ok"]
        busy = subprocess.run(
            [*command[:-1], url.rpartition(":")[2]], capture_output=True, text=True, timeout=30, check=False
        )
        run.send_signal(signal.SIGTERM)
        rest, errors = run.communicate(timeout=15)

    assert line.startswith("localaws ready http://127.0.0.1:")
    assert healthy
    assert (run.returncode, rest, errors) == (0, "", "")
    assert busy.returncode == 1
    assert busy.stdout == ""
    assert len(busy.stderr.splitlines()) == 1
    assert "cannot listen on 127.0.0.1:" in busy.stderr


def test_second_instance_in_a_process_is_refused(aws: LocalAws) -> None:
    with socket.socket():
        other = LocalAws()
        with pytest.raises(RuntimeError, match="another LocalAws is active"):
            other.start()
