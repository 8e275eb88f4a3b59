"""Grouping: lines of one statement in one group, lines of two statements in two, whatever the source."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfbuild.analysis.backtest_logs import backtest_logs
from selfbuild.analysis.log_groups import LogGrouper, group_of
from selfbuild.analysis.log_merge import MAX_TOKENS, tokens_of

STATEMENTS: dict[str, tuple[str, ...]] = {
    "lambda start": (
        "START RequestId: 8f507cfc-a33d-4e6b-9a3e-0d6f5b1f1a11 Version: $LATEST",
        "START RequestId: 0a1b2c3d-a33d-4e6b-9a3e-ffffffffffff Version: $LATEST",
    ),
    "lambda end": (
        "END RequestId: 8f507cfc-a33d-4e6b-9a3e-0d6f5b1f1a11",
        "END RequestId: 0a1b2c3d-a33d-4e6b-9a3e-ffffffffffff",
    ),
    "lambda report": (
        "REPORT RequestId: 8f507cfc-a33d-4e6b-9a3e-0d6f5b1f1a11\tDuration: 3.2 ms\tBilled Duration: 4 ms\t",
        "REPORT RequestId: 0a1b2c3d-a33d-4e6b-9a3e-ffffffffffff\tDuration: 103.25 ms\tBilled Duration: 104 ms\t",
    ),
    "kernel memory": ("BIOS-e820: 0000000000000000 - 00000000000a0000 (usable)", "BIOS-e820: 0f - a0 (usable)"),
    "kernel segfault": (
        "worker[3120]: segfault at 0 ip 00007f32 sp 00007ffd error 4 in libc.so.6[7f32+1b]",
        "worker[77]: segfault at 10 ip 00007f11 sp 00007ffc error 6 in libc.so.6[7f00+1b]",
    ),
    "kernel link": ("eth0: link up, 1000Mbps, full-duplex", "eth1: link up, 100Mbps, full-duplex"),
    "app lock": (
        'acquire lock=1660, flags=0x1, tag="RILJ_ACK_WL", name=com.android.phone, ws=null, uid=1001',
        'acquire lock=2660, flags=0x1, tag="ViewLock", name=com.android.systemui, ws=null, uid=1037',
        'acquire lock=3660, flags=0x0, tag="*job*", name=android, ws=null, uid=1000',
        'acquire lock=4660, flags=0x1, tag="AudioMix", name=audioserver, ws=null, uid=1041',
        'acquire lock=5660, flags=0x1, tag="RILJ", name=com.android.phone, ws=null, uid=1001',
        'acquire lock=6660, flags=0x1, tag="GOOGLE_C2DM", name=com.google.android.gms, ws=null, uid=10013',
        'acquire lock=7660, flags=0x1, tag="Wake", name=org.example.clock, ws=null, uid=10014',
    ),
    "app counters": (
        "getTodayTotalDetailSteps = 1514038440000##6993##548365##8661",
        "getTodayTotalDetailSteps = 1514038500000##7007##549269##8694",
    ),
    "app sensor": ("onStandStepChanged 3579", "onStandStepChanged 3580"),
    "proxy close": (
        "proxy.example.org:5070 close, 1327 bytes sent, 1682 bytes received, lifetime 00:01",
        "www.example.com:443 close, 0 bytes sent, 0 bytes received, lifetime 02:10",
    ),
    "proxy open": (
        "www.example.com:443 open through proxy proxy.example.org:5070 HTTPS",
        "10.1.1.7:443 open through proxy proxy.example.org:5070 HTTPS",
    ),
    "cluster state": (
        'Component State Change: Component "alt0" is in the unavailable state (HWID=2057)',
        'Component State Change: Component "scip1" is in the unavailable state (HWID=3180)',
    ),
    "cluster nodesets": (
        "inconsistent nodesets node-31 0x1ffffffe <ok> node-0 0xfffffffe <ok>",
        "inconsistent nodesets node-1 0x1ffffffe <ok> node-2 0xfffffffe <ok> node-3 0xfe <ok> node-4 0x1 <ok>",
    ),
    "cluster fans": ("Fan speeds ( 3552 3534 3375 4245 )", "Fan speeds ( 3552 3534 3375 4245 3515 3479 )"),
    "cloud request": (
        '10.11.10.1 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1" status: 200 len: 1893 time: 0.2',
        '10.11.10.2 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/6cb8 HTTP/1.1" status: 404 len: 9 time: 0.1',
    ),
    "cloud request, another method": (
        '10.11.10.1 "POST /v2/54fadb412c4e40cdbaed9335e4c35a9e/os-events HTTP/1.1" status: 200 len: 380 time: 0.09',
    ),
    "cloud started": ("[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started (Lifecycle Event)",),
    "cloud stopped": ("[instance: 96abccce-8d1f-4e07-b6d1-4b2ab87e23b4] VM Stopped (Lifecycle Event)",),
    "cloud claim": (
        "Attempting claim: memory 2048 MB, disk 20 GB, vcpus 1 CPU",
        "Attempting claim: memory 512 MB, disk 1 GB, vcpus 2 CPU",
    ),
    "json in a line": (
        '{"order": 12, "state": "paid", "amount": 12.5} stored',
        '{"order": 99, "state": "paid", "amount": 0.5} stored',
    ),
    "python warning": (
        "2026-11-23 10:00:01,123 WARNING app.orders:88 retry 1 of 3 for order ord_81",
        "2026-11-23 11:10:41,003 WARNING app.orders:88 retry 2 of 3 for order ord_11",
    ),
    "nginx access": (
        '10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] "GET /static/app.css HTTP/1.1" 200 512 "-" "curl/8.1"',
        '10.0.0.3 - - [24/Nov/2026:11:00:02 +0000] "GET /index HTTP/1.1" 304 0 "-" "curl/8.2"',
    ),
    "login": tuple(f"session opened for user {name} by (uid=0)" for name in ("root", "ann", "www-data", "postgres")),
    "logout": tuple(f"session closed for user {name}" for name in ("root", "ann", "www-data", "postgres")),
    "service up": ("scheduler started", "scheduler started"),
    "service down": ("scheduler stopped",),
    "mail": (
        "from=<root@host1.example.org>, size=1234, nrcpt=1 (queue active)",
        "from=<ann@example.org>, size=9, nrcpt=20 (queue active)",
    ),
    "deep learning": ("epoch 3/10 loss=0.123 acc=0.99", "epoch 10/10 loss=1e-05 acc=1.0"),
}


def labelled() -> list[tuple[str, str]]:
    lines = [(statement, line) for statement, lines in STATEMENTS.items() for line in lines]
    random.Random(7).shuffle(lines)
    return lines


def test_lines_of_every_kind_of_source_are_grouped_by_statement() -> None:
    rows = labelled()

    groups = LogGrouper().group_batch(line for _, line in rows)

    by_statement: dict[str, set[str]] = {}
    for (statement, _), group in zip(rows, groups, strict=True):
        by_statement.setdefault(statement, set()).add(group.template)
    assert {name: found for name, found in by_statement.items() if len(found) > 1} == {}
    assert len({min(found) for found in by_statement.values()}) == len(STATEMENTS)


def test_the_order_of_lines_does_not_matter() -> None:
    lines = [line for _, line in labelled()]
    forward, backward = LogGrouper(), LogGrouper()

    forward.group_batch(lines)
    for line in reversed(lines):
        backward.group(line)

    assert forward.templates() == backward.templates()


def test_the_id_is_that_of_the_template_in_every_run() -> None:
    group = LogGrouper().group("retry 3 of 5 for order ord_81")

    assert group.template == "retry <*> of <*> for order <*>"
    assert group == group_of(group.template)
    assert group.group_id == "1118d5b0cfe9d70f"


def a_generalised_grouper() -> tuple[LogGrouper, str]:
    grouper = LogGrouper()
    first = grouper.group("payment of invoice declined by bank alpha today").group_id
    for bank in ("beta", "gamma", "delta", "omega", "sigma"):
        grouper.group(f"payment of invoice declined by bank {bank} today")
    return grouper, first


def test_an_id_given_before_a_template_generalised_leads_to_the_current_one() -> None:
    grouper, first = a_generalised_grouper()

    last = grouper.group("payment of invoice declined by bank kappa today")

    assert last.template == "payment of invoice declined by bank <*> today"
    assert first != last.group_id
    assert grouper.current_id(first) == last.group_id
    assert grouper.current_id("unknown") == "unknown"


def test_words_that_differ_between_few_lines_stay_apart() -> None:
    grouper = LogGrouper()

    groups = {grouper.group(f"the worker {state} its lease early").group_id for state in ("lost", "renewed", "gave")}

    assert len(groups) == 3


def test_a_saved_grouper_goes_on_where_it_stopped() -> None:
    grouper, first = a_generalised_grouper()

    again = LogGrouper.from_state(json.loads(json.dumps(grouper.state())))

    assert again.templates() == grouper.templates()
    assert again.current_id(first) == grouper.current_id(first)
    assert again.state() == grouper.state()
    assert again.group("payment of invoice declined by bank zeta today") == grouper.templates()[0]


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        LogGrouper.from_state({"version": 99})


def test_beyond_the_limit_lines_are_grouped_but_not_remembered() -> None:
    grouper = LogGrouper(max_signatures=3)

    groups = grouper.group_batch([f"{word} has failed" for word in ("red", "blue", "green", "grey", "brown")])

    assert len(groups) == 5
    assert len(grouper.templates()) == 3
    assert grouper.group("brown has failed") == groups[4]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t ", id="blank"),
        pytest.param("\x00\x01\xff\ufffd", id="binary"),
        pytest.param("lone \udcff surrogate", id="undecodable byte"),
        pytest.param("x 1 " * 250_000, id="1 MB"),
        pytest.param(" ".join(f"word{chr(97 + n % 26) * (n % 7)}" for n in range(10_000)), id="10k tokens"),
        pytest.param("=" * 100_000, id="punctuation"),
    ],
)
def test_any_line_has_a_group_of_bounded_size(line: str) -> None:
    group = LogGrouper().group(line)

    assert len(group.group_id) == 16
    assert len(group.template) <= 4_000 * 3


def test_a_repeated_run_with_a_value_is_kept_once() -> None:
    assert "".join(tokens_of("a=<*> a=<*> a=<*> end")) == "a=<*> end"
    assert "".join(tokens_of("( <*> <*> <*> )")) == "( <*> )"
    assert "".join(tokens_of("no no no")) == "no no no"
    assert len(tokens_of("ab cd " * 5_000)) == MAX_TOKENS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=20))
def test_a_batch_and_its_repetition_have_the_same_groups(lines: list[str]) -> None:
    grouper = LogGrouper()

    assert grouper.group_batch(lines) == grouper.group_batch(lines)


def test_backtest_reads_text_and_json_lines_alike() -> None:
    lines = [
        "order 7 stored\n",
        '{"level": "INFO", "message": "order 8 stored"}\n',
        '{"msg": "order 9 stored", "message": null}',
        '{"event": "order 10 stored"}',
        '{"log": "order 11 stored"}',
        "\n",
        '{"broken": \n',
        '{"level": "INFO"}\n',
    ]

    rows = list(backtest_logs(lines))

    assert [row.line for row in rows] == list(range(1, 9))
    assert {row.template for row in rows[:5]} == {"order <*> stored"}
    assert [row.template for row in rows[5:]] == ["", '{"broken":', '{"level": "INFO"}']


def test_backtest_gives_each_line_of_a_traceback_its_own_group() -> None:
    stack = ["Traceback (most recent call last):", '  File "/srv/a.py", line 3, in f', "    g()", "ValueError: bad 7"]

    rows = list(backtest_logs([*stack, *stack]))

    assert len({row.group_id for row in rows}) == 4
    assert [row.group_id for row in rows[:4]] == [row.group_id for row in rows[4:]]
