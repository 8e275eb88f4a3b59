"""A ticket desk under guard: money, access, SQL, HTTP, caches and files, with what real code of the kind looks like."""

from collections.abc import Mapping, Sequence

from selfbuild.domain.patches import Edit, Patch
from selfbuild.gate import GuardResult, guard

TICKETS = '''"""Tickets: search, access, export."""
from __future__ import annotations

import functools
import hashlib
import hmac
import json
import logging
import re
import secrets
import sqlite3
import threading
import time

import requests

from desk.text import clean, parse_hours

__all__ = ["Desk", "close", "fetch_owner", "names_of", "slug"]
log = logging.getLogger(__name__)
API = "https://people.internal:8443"
ADMIN_ROLES = ("admin", "lead")
MAX_TRIES = 3
_lock = threading.Lock()
_rates: dict[str, float] = {}


class Desk(dict):
    """Keeps tickets in SQLite."""

    page = 50

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__()
        self.db = db
        self.seen: dict[str, float] = {}

    def find(self, owner: str) -> list[tuple]:
        rows = self.db.execute("SELECT id, title FROM tickets WHERE owner = ?", (owner,))
        return rows.fetchall()

    def titles(self, ids: list[int]) -> list[str]:
        found = []
        for one in ids:
            found.append(self.db.execute("SELECT title FROM tickets WHERE id = ?", (one,)).fetchone()[0])
        return found

    def store(self, rows: list[tuple]) -> None:
        for row in rows:
            self.db.execute("INSERT INTO tickets VALUES (?, ?)", row)

    def admit(self, key: str, now: float) -> None:
        if now - self.seen.get(key, 0.0) < 1.0:
            raise RuntimeError("too many requests")
        self.seen[key] = now


def fetch_owner(owner_id: int) -> dict:
    answer = requests.get(f"{API}/owners/{owner_id}", timeout=5)
    answer.raise_for_status()
    return answer.json()


def rate(currency: str) -> float:
    answer = requests.get(f"{API}/rates/{currency}")
    answer.raise_for_status()
    return float(answer.json()["rate"])


def close(ticket: dict, user: dict) -> dict:
    if user["role"] not in ADMIN_ROLES and ticket["owner"] != user["id"]:
        raise PermissionError("not yours")
    with _lock:
        ticket["state"] = "closed"
    log.info("closed %s", ticket["id"])
    return ticket


def new_key() -> str:
    return secrets.token_hex(16)


def digest(password: str, salt: bytes) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 600_000).hex()


def matches(password: str, salt: bytes, expected: str) -> bool:
    return hmac.compare_digest(digest(password, salt), expected)


def names_of(tickets: list[dict]) -> list[str]:
    seen: list[str] = []
    for ticket in tickets:
        if ticket["name"] not in seen:
            seen.append(ticket["name"])
    return seen


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def total_hours(entries: list[dict]) -> float:
    out = 0.0
    for entry in entries:
        out += parse_hours(entry["hours"])
    return out


def owners(tickets: list[dict]) -> list[dict]:
    return [fetch_owner(ticket["owner"]) for ticket in tickets]


def export(tickets: list[dict], path: str) -> None:
    file = open(path, "w")
    file.write(json.dumps(tickets))
    file.close()


async def wait_for(owner_id: int) -> dict:
    time.sleep(1)
    return fetch_owner(owner_id)


def queue_of(items: list[int]) -> int:
    done = 0
    while items:
        done += items.pop(0)
    return done


def discount(cents: int, role: str) -> int:
    if role not in ("staff", "partner"):
        return cents
    return cents * 9 // 10
'''
TEXT = '''"""Texts."""


def clean(text: str) -> str:
    return " ".join(text.split())


def parse_hours(text: str) -> float:
    hours, _, minutes = text.partition(":")
    return int(hours) + int(minutes) / 60


def label(size: str) -> str:
    return "Größe: " + size


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)
'''
T, X = "src/desk/tickets.py", "src/desk/text.py"
FILES = {T: TICKETS, X: TEXT}
OTHERS = (
    "src/desk/__init__.py",
    "src/desk/auth.py",
    "src/desk/settings.py",
    "tests/test_tickets.py",
    "conftest.py",
    "pyproject.toml",
    "Dockerfile",
    ".github/workflows/ci.yml",
)
LINKS = ("src/desk/legacy.py", "src/desk/vendor")
TARGETS: Mapping[str, Sequence[str]] = {
    T: (
        *("Desk.find", "Desk.titles", "Desk.store", "Desk.admit", "fetch_owner", "rate", "close", "new_key", "digest"),
        *("matches", "names_of", "slug", "total_hours", "owners", "export", "wait_for", "queue_of"),
    ),
    X: ("clean", "parse_hours", "label", "fib"),
}


def one(search: str, replace: str, path: str = T, summary: str = "fix") -> Patch:
    """A patch of one edit."""
    return Patch(summary=summary, edits=(Edit(path=path, search=search, replace=replace),))


def many(*edits: tuple[str, str], path: str = T) -> Patch:
    """A patch of several edits of one file."""
    return Patch(summary="fix", edits=tuple(Edit(path=path, search=old, replace=new) for old, new in edits))


def before(anchor: str, text: str, path: str = T) -> Patch:
    """Text put in front of the anchor."""
    return one(anchor, text + anchor, path)


def after(anchor: str, text: str, path: str = T) -> Patch:
    """Text put behind the anchor."""
    return one(anchor, anchor + text, path)


def ask(patch: Patch) -> GuardResult:
    """What the guard says of a change of the desk."""
    return guard(
        patch,
        FILES,
        shown=(T, X),
        target_symbols=TARGETS,
        regular_files=(*FILES, *OTHERS),
        links=LINKS,
    )
