"""A small service under guard, and a short way to ask the guard about a change of it."""

from collections.abc import Mapping, Sequence

from selfbuild.domain.patches import Edit, Patch
from selfbuild.gate import GuardResult, PathPolicy, guard

ORDERS = '''"""Orders."""
import functools
import hmac
import logging
import re
import time

import requests

from shop.prices import price_of

log = logging.getLogger(__name__)
BASE = "http://profiles.internal:8080"
LIMIT = 100


class Basket:
    """Collects lines."""

    currency = "EUR"

    def __init__(self, lines: list[dict]) -> None:
        self.lines = lines

    def weight(self) -> int:
        return sum(line["grams"] for line in self.lines)


def total(lines: list[dict], owner: str = "") -> int:
    out = 0
    for line in lines:
        out += price_of(line["sku"]) * line["qty"]
    return out


def load_profile(user_id: int) -> dict:
    answer = requests.get(f"{BASE}/profile/{user_id}")
    answer.raise_for_status()
    return answer.json()


def distinct(names: list[str]) -> list[str]:
    seen: list[str] = []
    for name in names:
        if name not in seen:
            seen.append(name)
    return seen


def may_refund(role: str, token: str, expected: str) -> bool:
    if not hmac.compare_digest(token, expected):
        raise PermissionError("token")
    return role in ("staff", "partner")


@functools.cache
def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def untouchable(cents: int) -> int:
    return cents * 9 // 10
'''
PRICES = '"""Prices."""\n\n\ndef price_of(sku: str) -> int:\n    return {"hat": 5, "größe": 7}[sku]\n'
FILES = {"shop/orders.py": ORDERS, "shop/prices.py": PRICES}
OTHERS = (
    "shop/__init__.py",
    "shop/auth.py",
    "tests/test_orders.py",
    "conftest.py",
    "pyproject.toml",
    ".github/workflows/ci.yml",
)
LINKS = ("shop/legacy.py", "vendor")
TARGETS: Mapping[str, Sequence[str]] = {
    "shop/orders.py": ("total", "load_profile", "distinct", "may_refund", "slug", "Basket.weight"),
    "shop/prices.py": ("price_of",),
}


def change(search: str, replace: str, path: str = "shop/orders.py", summary: str = "fix") -> Patch:
    """A patch of one edit."""
    return Patch(summary=summary, edits=(Edit(path=path, search=search, replace=replace),))


def ask(patch: Patch, *, files: Mapping[str, str] = FILES, policy: PathPolicy | None = None) -> GuardResult:
    """What the guard says of a change of the sample."""
    return guard(
        patch,
        files,
        shown=tuple(files),
        target_symbols=TARGETS,
        regular_files=(*files, *OTHERS),
        links=LINKS,
        policy=policy,
    )
