"""Masks: what varies goes, what names the kind stays, and nothing takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.masks import MAX_LINE, WILDCARD, coarse, mask, refine

NOISY = st.text(st.sampled_from("ab/:.-+%<>@=0129 \t'\"()xZT_é\\,#|[]"), max_size=60)


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        pytest.param("KeyError: 'owner'", "KeyError: 'owner'", id="names stay"),
        pytest.param("list index 3 out of range", "list index <num> out of range", id="number"),
        pytest.param("at 97% of -3.5e7", "at <num>% of <num>", id="signs"),
        pytest.param("user 12 at 10.0.0.1:80", "user <num> at <ip>", id="address"),
        pytest.param("order ord_8812 (id=550e8400-e29b-41d4-a716-446655440000)", "order <id> (id=<uuid>)", id="ids"),
        pytest.param("block blk_-160899", "block <id>", id="glued number"),
        pytest.param("a@b.co read https://x.y/z?q=1", "<email> read <url>", id="email and url"),
        pytest.param("at 2026-01-02T03:04:05Z in /var/task/app", "at <time> in <path>", id="time and path"),
        pytest.param("object at 0x7f3a", "object at <hex>", id="hex"),
        pytest.param("too\n  many   spaces", "too many spaces", id="white space"),
    ],
)
def test_mask_names_the_kind_of_each_value(message: str, masked: str) -> None:
    assert mask(message) == masked


@given(st.one_of(st.text(max_size=300), NOISY))
def test_masking_twice_changes_nothing(message: str) -> None:
    assert mask(mask(message)) == mask(message)


@pytest.mark.parametrize(
    ("line", "template"),
    [
        pytest.param("took 12 ms", "took <*> ms", id="number"),
        pytest.param("job_17 to 10.0.0.7:80", "<*> to <*>", id="glued id and host with port"),
        pytest.param("open www.example.com:443 now", "open <*> now", id="name with port"),
        pytest.param("from ann@example.com", "from <*>", id="mail address"),
        pytest.param("read /etc/app/main.conf", "read <*>", id="path"),
        pytest.param(r"read C:\Users\ann\app.ini", "read <*>", id="Windows path"),
        pytest.param("GET https://x.y/a/b?c=d done", "GET <*> done", id="url"),
        pytest.param("at Fri Jun 17 07:07:00 2005", "at <*> <*> <*>", id="date in words"),
        pytest.param("link aa:bb:cc:dd:ee:ff up", "link <*> up", id="hardware address of letters"),
        pytest.param("from <*> () at", "from <*> (<*>) at", id="empty brackets are an empty value"),
        pytest.param("size 5.2 KB, free 3 B", "size <*>, free <*>", id="sizes with units"),
        pytest.param("retry true, owner None", "retry <*>, owner <*>", id="truth values and nothing"),
        pytest.param("lifetime <1 sec", "lifetime <*> sec", id="comparison"),
        pytest.param("handler() returned nothing", "handler() returned nothing", id="a call is not an empty value"),
        pytest.param("", "", id="empty"),
    ],
)
def test_refine_masks_values_of_any_kind(line: str, template: str) -> None:
    assert refine(coarse(line)) == template


@given(st.one_of(st.text(max_size=300), NOISY))
def test_no_digit_is_left(line: str) -> None:
    assert not any(digit in coarse(line) for digit in "0123456789@")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("1" * 1_000_000, id="digits"),
        pytest.param("a" * 1_000_000, id="letters"),
        pytest.param("/" * 1_000_000, id="slashes"),
        pytest.param("a." * 500_000, id="dotted"),
        pytest.param("a://" * 250_000, id="schemes"),
        pytest.param("<*>:" * 250_000, id="wildcards"),
        pytest.param("aa:" * 300_000, id="hardware addresses"),
        pytest.param("a@" * 500_000, id="mail addresses"),
        pytest.param("\x00\xff\ud800 " * 200_000, id="binary"),
        pytest.param("Jan " * 200_000, id="months"),
    ],
)
def test_long_hostile_lines_are_cut_and_return(line: str) -> None:
    assert len(refine(coarse(line))) <= MAX_LINE * len(WILDCARD)
    assert mask(line)
