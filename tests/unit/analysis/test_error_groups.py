"""Errors are grouped by cause; groups of batches add up in any order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.error_groups import group_errors, merge_groups
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STACK = 'Traceback (most recent call last):\n  File "app/a.py", line 3, in f\n    g[k]\nKeyError: {}\n'


def an_event(
    *, minute: int = 0, level: str = "ERROR", message: str = "order 7 failed", weight: float = 1, **fields: object
) -> LogEvent:
    given_ = {"component": "orders", "tenant_id": "acme", "error_type": "KeyError"} | fields
    at = START + timedelta(minutes=minute)
    return LogEvent.model_validate(given_ | {"at": at, "level": level, "message": message, "weight": weight})


def test_events_of_one_cause_are_one_group() -> None:
    events = [
        an_event(minute=5, message="order 8 failed", tenant_id="globex"),
        an_event(minute=1, weight=10),
        an_event(minute=9, level="CRITICAL"),
        an_event(level="WARNING"),
    ]

    (group,) = group_errors(events)

    assert group.count == 12
    assert (group.first_seen, group.last_seen) == (START + timedelta(minutes=1), START + timedelta(minutes=9))
    assert group.tenants == ("acme", "globex")
    assert group.message == "order <num> failed"
    assert (group.component, group.error_type, group.stack) == ("orders", "KeyError", None)


def test_components_and_causes_are_kept_apart_most_frequent_first() -> None:
    events = [an_event(component="topics"), an_event(), an_event(), an_event(message="no stock")]

    groups = group_errors(events)

    assert [(group.component, group.count) for group in groups[:1]] == [("orders", 2)]
    assert {(group.component, group.message) for group in groups} == {
        ("orders", "order <num> failed"),
        ("orders", "no stock"),
        ("topics", "order <num> failed"),
    }


def test_a_group_shows_a_place_and_a_sample() -> None:
    place = CodeLocation(path="app/a.py", line=3, function="f")

    (group,) = group_errors([an_event(stack=STACK.format(1)), an_event(stack=STACK.format(22), location=place)])

    assert group.stack == STACK.format(22)
    assert group.location == place


@pytest.mark.parametrize(("weights", "count"), [([0.5, 0.7], 1), ([0.1], 1), ([2.5, 2.6], 5)])
def test_sampled_lines_count_for_what_they_stand_for(weights: list[float], count: int) -> None:
    (group,) = group_errors(an_event(weight=weight) for weight in weights)

    assert group.count == count


def test_an_error_without_a_type_is_called_unknown() -> None:
    (group,) = group_errors([an_event(error_type=None)])

    assert group.error_type == "unknown"


events = st.lists(
    st.builds(
        lambda minute, component, tenant, message, key, line, weight: an_event(
            minute=minute,
            component=component,
            tenant_id=tenant,
            message=message,
            stack=STACK.format(key) if key else None,
            location=CodeLocation(path="app/a.py", line=line) if line else None,
            weight=weight,
        ),
        st.integers(0, 50),
        st.sampled_from(["orders", "topics"]),
        st.sampled_from(["acme", "globex", "initech"]),
        st.sampled_from(["order 7 failed", "order 123 failed", "no stock"]),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(1, 5),
    ),
    max_size=12,
)


@given(events, events)
def test_batches_merge_to_what_one_batch_gives(first: list[LogEvent], second: list[LogEvent]) -> None:
    assert merge_groups(group_errors(first), group_errors(second)) == group_errors([*first, *second])


@given(events, events, events)
def test_order_and_nesting_of_merges_do_not_matter(
    first: list[LogEvent], second: list[LogEvent], third: list[LogEvent]
) -> None:
    one, two, three = group_errors(first), group_errors(second), group_errors(third)

    expected = merge_groups(one, two, three)

    assert merge_groups(merge_groups(one, two), three) == expected
    assert merge_groups(one, merge_groups(two, three)) == expected
    assert merge_groups(three, two, one) == expected
