"""A folder of OTLP JSON files: as a collector writes, rotates, repeats and tears it."""

import gzip
import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfbuild.adapters.otlp_files import OtlpFilesSource
from selfbuild.adapters.otlp_folder import FolderReader
from selfbuild.adapters.otlp_histograms import Histogram, Samples
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import InvalidRequest, NotFound
from selfbuild.domain.telemetry import Measure, TelemetryBatch
from tests.fakes.otlp import attributes, log_line, metrics_line, resource_metrics, sum_metric
from tests.fakes.telemetry import ServedError, ServedRequest

ORIGIN = 1_700_000_040
PERIOD_S = 60
OWN = {"tenant_id": "acme", "component": "topics", "release": "base"}


def moment(offset_s: float) -> datetime:
    return datetime.fromtimestamp(ORIGIN + offset_s, UTC)


def an_application(**telemetry: Any) -> Application:
    return Application.model_validate(
        {
            "tenant_id": "acme",
            "name": "shop",
            "telemetry": {"log_group": "/unused", **telemetry},
            "repository": {"url": "/nowhere.git"},
            "release": {"control_url": "http://127.0.0.1:1"},
        }
    )


def a_batch(folder: Path, *, end: float = 600, **telemetry: Any) -> TelemetryBatch:
    source = OtlpFilesSource(folder, lambda: moment(3600), settle=timedelta(0))
    return source.batch(
        an_application(**telemetry), start=moment(0), end=moment(end), period_s=PERIOD_S, sampling_rate=1.0
    )


def values(batch: TelemetryBatch, measure: Measure, component: str = "topics") -> dict[float, float]:
    found = [s for s in batch.series if (s.component, s.measure) == (component, measure)]
    assert len(found) <= 1
    return {at - ORIGIN: value for series in found for at, value in series.points().items()}


def ns(offset_s: float) -> str:
    return str(round((ORIGIN + offset_s) * 1000) * 1_000_000)


def a_total(at: float, value: float, *, since: float = 0, **more: str) -> dict[str, Any]:
    """A line with the state of a cumulative counter of requests."""
    point = {
        "startTimeUnixNano": ns(since),
        "timeUnixNano": ns(at),
        "asDouble": value,
        "attributes": attributes(**more),
    }
    return resource_metrics(OWN, [sum_metric("Requests", [point], temporality=2)])


def write(path: Path, *lines: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_cumulative_counters_are_differences_over_resets_repeats_and_disorder(tmp_path: Path) -> None:
    states = [a_total(60, 5), a_total(120, 9), a_total(180, 9), a_total(240, 4, since=200), a_total(300, 6, since=200)]
    lines = [*states, states[1], states[2]]
    random.Random(3).shuffle(lines)
    write(tmp_path / "one.json", *lines)

    batch = a_batch(tmp_path)

    assert values(batch, Measure.REQUESTS) == {0: 5, 60: 4, 120: 0, 180: 4, 240: 2}
    assert batch.notes == ("cumulative streams that started anew: 1",)


def test_a_counter_that_falls_without_a_new_start_has_started_anew(tmp_path: Path) -> None:
    write(tmp_path / "one.json", a_total(60, 50), a_total(120, 60), a_total(180, 3))

    assert values(a_batch(tmp_path), Measure.REQUESTS) == {0: 50, 60: 10, 120: 3}


def test_streams_of_one_component_add_up(tmp_path: Path) -> None:
    write(tmp_path / "one.json", a_total(60, 5, host="a"), a_total(60, 7, host="b"))
    write(tmp_path / "one.json", a_total(120, 6, host="a"), a_total(120, 9, host="b"))

    assert values(a_batch(tmp_path), Measure.REQUESTS) == {0: 12, 60: 3}


def test_the_first_state_of_an_old_stream_and_a_gap_are_no_samples(tmp_path: Path) -> None:
    write(tmp_path / "one.json", a_total(60, 500, since=-9000), a_total(120, 510, since=-9000))
    write(tmp_path / "one.json", a_total(420, 900, since=-9000), a_total(480, 903, since=-9000))

    batch = a_batch(tmp_path)

    assert values(batch, Measure.REQUESTS) == {60: 10, 420: 3}
    assert batch.notes == ("Requests: points that cover more than a period of 60 s: 2",)


def test_a_delta_that_was_exported_twice_counts_once(tmp_path: Path) -> None:
    line = metrics_line(ServedRequest(at=ORIGIN + 5))
    write(tmp_path / "one.json", line, line)
    write(tmp_path / "two.json", line)

    assert values(a_batch(tmp_path), Measure.REQUESTS) == {0: 1}


def test_a_torn_last_line_waits_and_a_broken_one_is_noted(tmp_path: Path) -> None:
    whole = json.dumps(metrics_line(ServedRequest(at=ORIGIN + 65)))
    path = tmp_path / "one.json"
    write(path, metrics_line(ServedRequest(at=ORIGIN + 5)))
    path.write_text(path.read_text() + '{"acme": broken\n{"resourceMetrics": "acme"}\n' + whole[:-40])

    torn = a_batch(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(whole[-40:] + "\n")
    mended = a_batch(tmp_path)

    assert values(torn, Measure.REQUESTS) == {0: 1}
    assert torn.notes == ("lines that are no OTLP: 1", "one.json: lines that are no JSON object: 1")
    assert values(mended, Measure.REQUESTS) == {0: 1, 60: 1}


def test_rotated_and_compressed_files_are_read_once_under_whatever_name(tmp_path: Path) -> None:
    current, rotated = tmp_path / "metrics.json", tmp_path / "metrics-2027-01-15T08-00-00.json"
    write(rotated, metrics_line(ServedRequest(at=ORIGIN + 5)))
    write(current, metrics_line(ServedRequest(at=ORIGIN + 65)))
    (tmp_path / "linked.json").hardlink_to(current)
    packed = json.dumps(metrics_line(ServedRequest(at=ORIGIN + 125))).encode()
    (tmp_path / "older.json.gz").write_bytes(gzip.compress(packed))
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(packed)[:-9])
    (tmp_path / "notes.txt").write_text("acme")

    batch = a_batch(tmp_path)

    assert values(batch, Measure.REQUESTS) == {0: 1, 60: 1, 120: 1}
    assert batch.notes == ("torn.json.gz: ends within a compressed block: 1",)


def test_a_file_that_is_renamed_while_others_are_read_is_still_found(tmp_path: Path) -> None:
    for name, at in (("a.json", 5), ("b.json", 65)):
        write(tmp_path / name, metrics_line(ServedRequest(at=ORIGIN + at)))
    reader = FolderReader(tmp_path, moment(0), ["acme"])

    documents = reader.documents()
    first = next(documents)
    for name in ("a.json", "b.json"):
        (tmp_path / name).rename(tmp_path / f"rotated-{name}")
    write(tmp_path / "a.json", metrics_line(ServedRequest(at=ORIGIN + 125)))
    rest = list(documents)

    times = {
        d["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][1]["sum"]["dataPoints"][0]["timeUnixNano"]
        for d in [first, *rest]
    }
    assert times == {ns(5.001), ns(65.001), ns(125.001)}
    assert len(rest) == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no folder .*nowhere"):
        a_batch(tmp_path / "nowhere")


def test_other_tenants_lines_are_not_parsed_and_hostile_values_stay_values(tmp_path: Path) -> None:
    hostile = 'acme", "tenant_id": "acme'
    error = ServedError("E", "x", "m.py", 1, "f")
    for number, tenant in enumerate(["globex", "acme2", hostile, "ACME", "acme\n", " acme"]):
        served = ServedRequest(at=ORIGIN + 5 + number, tenant_id=tenant, component="secret", error=error)
        write(tmp_path / "one.json", metrics_line(served), log_line(served))

    batch = a_batch(tmp_path)

    assert (batch.series, batch.events, batch.notes) == ((), (), ())


def test_a_body_cannot_claim_another_tenant_than_the_collector_names(tmp_path: Path) -> None:
    body = json.dumps({"level": "ERROR", "tenant_id": "acme", "component": "cart", "message": "forged"})
    record = {"timeUnixNano": ns(5), "body": {"stringValue": body}}
    resource = {"attributes": attributes(tenant_id="globex")}
    line = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}
    write(tmp_path / "one.json", line)

    assert a_batch(tmp_path).events == ()


def test_a_json_body_and_a_structured_body_are_understood(tmp_path: Path) -> None:
    line = {"level": "error", "tenant_id": "acme", "component": "cart", "exception_name": "KeyError", "message": "no"}
    plain = {"timeUnixNano": ns(5), "body": {"stringValue": json.dumps(line)}}
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in line.items()]
    structured = {"timeUnixNano": ns(6), "body": {"kvlistValue": {"values": pairs}}}
    late: dict[str, Any] = {"observedTimeUnixNano": ns(7), "severityText": "Fatal", "body": {"stringValue": "gone"}}
    late["attributes"] = attributes(tenant_id="acme", component="cart")
    scope = {"scope": {}, "logRecords": [plain, structured, late]}
    write(tmp_path / "one.json", {"resourceLogs": [{"resource": {}, "scopeLogs": [scope]}]})

    events = a_batch(tmp_path).events

    assert [(e.level, e.component, e.error_type) for e in events] == [
        ("ERROR", "cart", "KeyError"),
        ("ERROR", "cart", "KeyError"),
        ("CRITICAL", "cart", None),
    ]


def a_latency_line(container: dict[str, Any], member: str, *, unit: str = "ms", at: float = 30) -> dict[str, Any]:
    point = container | {"startTimeUnixNano": ns(at - 30), "timeUnixNano": ns(at)}
    metric = {"name": "ResponseLatency", "unit": unit, member: {"aggregationTemporality": 1, "dataPoints": [point]}}
    return resource_metrics(OWN, [metric])


def explicit(samples: "np.ndarray[Any, Any]", bounds: list[float]) -> dict[str, Any]:
    counts = np.histogram(samples, bins=[-math.inf, *bounds, math.inf])[0]
    return {
        "count": str(len(samples)),
        "sum": float(samples.sum()),
        "explicitBounds": bounds,
        "bucketCounts": [str(count) for count in counts],
    }


def exponential(samples: "np.ndarray[Any, Any]", scale: int) -> dict[str, Any]:
    indices = np.ceil(np.log2(samples) * 2.0**scale).astype(int) - 1
    low = int(indices.min())
    counts = np.bincount(indices - low)
    return {
        "count": str(len(samples)),
        "sum": float(samples.sum()),
        "scale": scale,
        "positive": {"offset": low, "bucketCounts": [str(count) for count in counts]},
    }


def test_percentiles_of_histograms_lie_within_their_bucket_of_the_true_ones(tmp_path: Path) -> None:
    samples = np.random.default_rng(5).lognormal(3, 0.6, 20_000)
    bounds = [float(b) for b in range(5, 200, 5)]
    write(tmp_path / "one.json", a_latency_line(explicit(samples, bounds), "histogram"))
    write(tmp_path / "one.json", a_latency_line(exponential(samples, 4), "exponentialHistogram", at=90))

    batch = a_batch(tmp_path)

    for measure, percent in ((Measure.LATENCY_P50, 50), (Measure.LATENCY_P95, 95)):
        true = float(np.percentile(samples, percent))
        found = values(batch, measure)
        assert found[0] == pytest.approx(true, abs=1.0), "explicit buckets are 5 ms wide"
        assert found[60] == pytest.approx(true, rel=0.045), "a bucket of scale 4 spans 4.4 per cent"
    assert values(batch, Measure.LATENCY_MEAN) == pytest.approx({0: samples.mean(), 60: samples.mean()})


def test_a_histogram_without_buckets_tells_a_mean_and_no_percentile(tmp_path: Path) -> None:
    write(tmp_path / "one.json", a_latency_line({"count": "4", "sum": 0.008}, "histogram", unit="s"))

    batch = a_batch(tmp_path)

    assert values(batch, Measure.LATENCY_MEAN) == pytest.approx({0: 2.0})
    assert values(batch, Measure.LATENCY_P95) == {}


def test_an_exponential_histogram_that_changed_its_scale_is_still_a_difference() -> None:
    fine = Histogram(4, 20.0, None, None, scale=1, exponents={2: 1.0, 3: 2.0, 5: 1.0})
    coarse = Histogram(6, 36.0, None, None, scale=0, exponents={1: 3.0, 2: 3.0})

    added = coarse.minus(fine)

    assert added is not None
    assert (added.samples, added.total, added.exponents) == (2, 16.0, {1: 0.0, 2: 2.0})
    assert fine.minus(coarse) is None


def test_percentiles_of_single_samples_are_those_of_cloudwatch() -> None:
    samples = Samples.of((value, value, 1.0) for value in (4.0, 2.0, 8.0))

    assert [samples.percentile(p) for p in (0, 50, 75, 100)] == [2.0, 4.0, 6.0, 8.0]
    assert samples.above(4.0) == 1


def test_a_requests_metric_may_be_the_count_of_a_histogram(tmp_path: Path) -> None:
    samples = np.array([1.0, 2.0, 3.0])
    write(tmp_path / "one.json", a_latency_line(explicit(samples, [2.0, 4.0]), "histogram"))

    batch = a_batch(tmp_path, requests_metric="ResponseLatency")

    assert values(batch, Measure.REQUESTS) == {0: 3}


def test_wrong_declarations_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="'p101' is no statistic"):
        a_batch(tmp_path / "nowhere", metrics=[{"name": "Queue", "statistic": "p101"}])


@pytest.mark.parametrize(
    "container",
    [
        pytest.param({"count": "-1", "sum": 1}, id="negative count"),
        pytest.param({"count": "1e999", "bucketCounts": ["1e999", "0"], "explicitBounds": [1]}, id="endless count"),
        pytest.param({"count": "1", "bucketCounts": ["1"] * 5000, "explicitBounds": [1] * 4999}, id="many buckets"),
        pytest.param({"count": "1", "bucketCounts": "text", "explicitBounds": [1]}, id="text for numbers"),
        pytest.param({"count": "1", "bucketCounts": [[]], "explicitBounds": ["NaN"]}, id="lists for numbers"),
    ],
)
def test_a_line_that_cannot_be_is_noted_and_the_others_stay(tmp_path: Path, container: dict[str, Any]) -> None:
    write(tmp_path / "one.json", a_latency_line(container, "histogram"), metrics_line(ServedRequest(at=ORIGIN + 5)))

    batch = a_batch(tmp_path)

    assert values(batch, Measure.REQUESTS) == {0: 1}
    assert batch.notes == ("lines that are no OTLP: 1",)
