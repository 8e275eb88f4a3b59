"""Filter patterns, embedded metrics, metric filters and Insights queries, without a server."""

import json
from typing import Any

import pytest

from localaws.errors import AwsError
from localaws.logs.emf import extract_metrics
from localaws.logs.insights.queries import compile_query
from localaws.logs.insights.records import Moment, Record
from localaws.logs.metric_filters import check_metric_filter, filter_metrics
from localaws.logs.patterns import compile_pattern


def matches(pattern: str, message: object) -> bool:
    return compile_pattern(pattern).matches(message if isinstance(message, str) else json.dumps(message))


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("ERROR", "an error", False),
        ('"a \\"b\\""', 'x a "b" y', True),
        ("?A ?B", "neither", False),
        ("?A C", "C alone: optional terms next to required ones are ignored", True),
        ("-a", "b", True),
        ("-a", "abc", False),
        ("{ $.a = 1 }", {"a": 1.0}, True),
        ("{ $.a = 1 }", {"a": True}, False),
        ("{ $.a = true }", {"a": True}, True),
        ("{ $.a IS TRUE }", {"a": True}, True),
        ("{ $.a = x* }", {"a": "xyz"}, True),
        ("{ $.a[1].b = c }", {"a": [0, {"b": "c"}]}, True),
        ('{ $["a b"] = c }', {"a b": "c"}, True),
        ("{ $.a != b }", {"c": 1}, False),
        ("{ $.a EXISTS }", {"a": None}, True),
        ("{ ($.a = 1 || $.b = 1) && $.c = 1 }", {"b": 1, "c": 1}, True),
        ("{ $.a = 1 || $.b = 1 && $.c = 1 }", {"a": 1}, True),
        ("{ $.a > 2.5 }", {"a": "3"}, False),
        ("{ $.a = 1 }", "not JSON", False),
    ],
)
def test_pattern_matches(pattern: str, message: object, expected: bool) -> None:
    assert matches(pattern, message) is expected


@pytest.mark.parametrize("pattern", ['"open', "{ $.a = 1", "{ $.a ~ 1 }", "{ $.a = 1 $.b = 2 }", "{}", "x" * 1025])
def test_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(AwsError, match="Invalid filter pattern"):
        compile_pattern(pattern)


def emf(**members: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "Shop",
        "Dimensions": [["component"], []],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Absent"}],
    }
    return {"_aws": {"Timestamp": 5_000, "CloudWatchMetrics": [directive]}, "component": "checkout", **members}


def test_embedded_metric_is_taken_once_per_dimension_set() -> None:
    found = list(extract_metrics(emf(Latency=[1, 2.5, True, "x"]), 99.0))

    assert [(item.metric.name, item.metric.dimensions, item.values, item.at_s, item.unit) for item in found] == [
        ("Latency", (("component", "checkout"),), (1.0, 2.5), 5.0, "Milliseconds"),
        ("Latency", (), (1.0, 2.5), 5.0, "Milliseconds"),
    ]


@pytest.mark.parametrize("document", [None, [], {"_aws": 3}, {"_aws": {"CloudWatchMetrics": "x"}}, emf(Latency="x")])
def test_document_without_embedded_metrics_gives_none(document: Any) -> None:
    assert list(extract_metrics(document, 0.0)) == []


def a_filter(**changes: Any) -> dict[str, Any]:
    transformation = {"metricNamespace": "Shop", "metricName": "Slow", "metricValue": "$.ms", **changes}
    return {"filterName": "slow", "filterPattern": "{ $.ms > 10 }", "metricTransformations": [transformation]}


def test_metric_filter_measures_matching_events_with_dimensions() -> None:
    events = [(1.0, json.dumps({"ms": 20, "c": "checkout"})), (2.0, json.dumps({"ms": 5, "c": "x"})), (3.0, "text")]

    found = list(filter_metrics([a_filter(dimensions={"component": "$.c"})], events))

    assert [(item.values, item.metric.dimensions) for item in found] == [((20.0,), (("component", "checkout"),))]


def test_metric_filter_that_cannot_be_applied_is_refused() -> None:
    for change in ({"metricValue": "many"}, {"defaultValue": 5.0}, {"metricValue": "$.a b"}):
        with pytest.raises(AwsError):
            check_metric_filter(a_filter(**change))


EVENTS = [
    {"level": "ERROR", "ms": 30, "error": {"type": "KeyError"}, "user": "u1"},
    {"level": "ERROR", "ms": 10, "error": {"type": "KeyError"}, "user": "u2"},
    {"level": "INFO", "ms": 20, "user": "u1"},
    "request id=7 took 42 ms",
]


def rows_of(query: str) -> list[dict[str, str]]:
    records = [
        Record({"@timestamp": Moment(60_000 * index)}, event if isinstance(event, str) else json.dumps(event))
        for index, event in enumerate(EVENTS)
    ]
    return [{cell["field"]: cell["value"] for cell in row} for row in compile_query(query).run(records).rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('filter level = "INFO" | fields ms, ms * 2 as twice', [{"ms": "20", "twice": "40"}]),
        ("filter ms >= 20 and not (user = 'u2') | sort ms desc | fields ms", [{"ms": "30"}, {"ms": "20"}]),
        ("filter error.type like /^key/i | stats count(*) as n", [{"n": "2"}]),
        ("filter user in ['u2', 'u3'] | display user", [{"user": "u2"}]),
        ("filter not ispresent(level) | parse @message 'id=* took * ms' as id, took | display id, took",
         [{"id": "7", "took": "42"}]),
        ("parse @message /took (?<ms_taken>\\d+)/ | filter ms_taken > 40 | display ms_taken", [{"ms_taken": "42"}]),
        ("stats count(*), avg(ms), pct(ms, 50) by user | sort count(*) desc, user | limit 1",
         [{"user": "u1", "count(*)": "2", "avg(ms)": "25", "pct(ms,50)": "25"}]),
        ("filter ispresent(ms) | stats sum(ms) / count(*) as mean, stddev(ms) as sd, count_distinct(user) as users",
         [{"mean": "20", "sd": "8.165", "users": "2"}]),
        ("stats earliest(level) as first, latest(ms) as last, min(ms) as low, max(ms) as high",
         [{"first": "ERROR", "last": "20", "low": "10", "high": "30"}]),
        ("stats count(ms) as n by bin(2m)",
         [{"bin(2m)": "1970-01-01 00:00:00.000", "n": "2"}, {"bin(2m)": "1970-01-01 00:02:00.000", "n": "1"}]),
        ("filter level = 'ERROR' | dedup error.type | display user # a comment", [{"user": "u1"}]),
        ("filter @message not like 'level' | display strlen(@message) as n", [{"n": "23"}]),
        ("filter level = 'WARN' | stats count(*) as n", [{"n": "0"}]),
    ],
)  # fmt: skip
def test_query_gives_its_rows(query: str, expected: list[dict[str, str]]) -> None:
    assert rows_of(query) == expected


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "empty"),
        ("filter @timestamp > ago(1h)", "ago()"),
        ("filter count(*) > 1", "aggregate"),
        ("stats ms by user", "aggregate"),
        ("stats pct(ms, 101)", "percentage"),
        ("filter a = 'open", "quote"),
        ("limit 0", "limit"),
        ("parse @message '* *' as one", "names"),
        ("unnest x", "unnest"),
        ("filter a like b", "like"),
        ("filter a = 1 b", "unexpected 'b'"),
        ("filter a =~ /(/", "regular expression"),
    ],
)
def test_malformed_query_is_refused_by_name(query: str, word: str) -> None:
    with pytest.raises(AwsError) as caught:
        compile_query(query)

    assert caught.value.code == "MalformedQueryException"
    assert word in caught.value.message
