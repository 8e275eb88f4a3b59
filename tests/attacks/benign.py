"""What good fixes look like; none of them may be refused."""
# ruff: noqa: E501

from selfbuild.domain.patches import Edit, Patch
from tests.attacks.code import GET, LOOP
from tests.attacks.desk import T, X, after, before, many, one

NAMES = '    seen: list[str] = []\n    for ticket in tickets:\n        if ticket["name"] not in seen:\n            seen.append(ticket["name"])\n    return seen\n'
TITLES = '        found = []\n        for one in ids:\n            found.append(self.db.execute("SELECT title FROM tickets WHERE id = ?", (one,)).fetchone()[0])\n        return found\n'
EXPORT = '    file = open(path, "w")\n    file.write(json.dumps(tickets))\n    file.close()\n'
OWNER = '    answer = requests.get(f"{API}/owners/{owner_id}", timeout=5)\n    answer.raise_for_status()\n    return answer.json()\n'
CONST = "MAX_TRIES = 3\n"

BENIGN: list[tuple[str, Patch]] = [
    ("timeout", one('{currency}")', '{currency}", timeout=10)')),
    ("timeout_pair", one('{currency}")', '{currency}", timeout=(3.05, 27))')),
    ("shorter_timeout", one("timeout=5", "timeout=2.5")),
    ("memoise", one("def slug(", "@functools.lru_cache(maxsize=1024)\ndef slug(")),
    ("memoise_from", many(("import functools\n", "import functools\nfrom functools import lru_cache\n"), ("def slug(", "@lru_cache(maxsize=512, typed=True)\ndef slug("))),
    ("memoise_imported", Patch(summary="memoise", edits=(
        Edit(path=X, search='"""Texts."""\n', replace='"""Texts."""\n\nfrom functools import lru_cache\n'),
        Edit(path=X, search="def fib(", replace="@lru_cache(maxsize=None)\ndef fib("),
    ))),
    ("hoisted_pattern", many((CONST, CONST + '_NOT_WORD = re.compile(r"[^a-z0-9]+")\n'), ('re.sub(r"[^a-z0-9]+", "-", title.lower())', '_NOT_WORD.sub("-", title.lower())'))),
    ("set_beside_list", one(NAMES, '    seen: dict[str, None] = {}\n    for ticket in tickets:\n        seen.setdefault(ticket["name"])\n    return list(seen)\n')),
    ("dict_from_keys", one(NAMES, '    return list(dict.fromkeys(ticket["name"] for ticket in tickets))\n')),
    ("seen_set", one(NAMES, '    names: list[str] = []\n    known: set[str] = set()\n    for ticket in tickets:\n        name = ticket["name"]\n        if name not in known:\n            known.add(name)\n            names.append(name)\n    return names\n')),
    ("deque", many(("import functools\n", "import functools\nfrom collections import deque\n"), ("    done = 0\n    while items:\n        done += items.pop(0)\n", "    done = 0\n    waiting = deque(items)\n    items.clear()\n    while waiting:\n        done += waiting.popleft()\n"))),
    ("sum", one("    out = 0.0\n" + LOOP + "    return out\n", '    return sum((parse_hours(entry["hours"]) for entry in entries), 0.0)\n')),
    ("default_for_key", one('entry["hours"])', 'entry.get("hours", "0:00"))')),
    ("none_is_empty", before("    out = 0.0\n", "    if not entries:\n        return 0.0\n")),
    ("validation", before('    hours, _, minutes = text.partition(":")\n', '    if ":" not in text:\n        raise ValueError(f"hours must be written H:MM, not {text!r}")\n', X)),
    ("validation_of_number", before("    return n if", '    if n < 0:\n        raise ValueError("n must not be negative")\n', X)),
    ("error_with_cause", one(LOOP, '    for number, entry in enumerate(entries):\n        try:\n            out += parse_hours(entry["hours"])\n        except KeyError as error:\n            raise ValueError(f"entry {number} has no hours") from error\n')),
    ("handled_and_logged", one(LOOP, '    for entry in entries:\n        try:\n            out += parse_hours(entry["hours"])\n        except ValueError:\n            log.warning("entry %s has unreadable hours", entry.get("id"))\n            raise\n')),
    ("batch_query", one(TITLES, '        marks = ",".join("?" * len(ids))\n        rows = self.db.execute(f"SELECT id, title FROM tickets WHERE id IN ({marks})", ids)\n        by_id = dict(rows.fetchall())\n        return [by_id[one] for one in ids]\n')),
    ("batch_query_plus", one(TITLES, '        marks = ", ".join("?" for _ in ids)\n        query = "SELECT id, title FROM tickets WHERE id IN (" + marks + ")"\n        by_id = dict(self.db.execute(query, ids).fetchall())\n        return [by_id[one] for one in ids]\n')),
    ("batch_insert", one('        for row in rows:\n            self.db.execute("INSERT INTO tickets VALUES (?, ?)", row)\n', '        self.db.executemany("INSERT INTO tickets VALUES (?, ?)", rows)\n')),
    ("transaction", one('        for row in rows:\n            self.db.execute("INSERT INTO tickets VALUES (?, ?)", row)\n', '        with self.db:\n            for row in rows:\n                self.db.execute("INSERT INTO tickets VALUES (?, ?)", row)\n')),
    ("ids_once", one("    return [fetch_owner(ticket[\"owner\"]) for ticket in tickets]\n", "    found = {number: fetch_owner(number) for number in {ticket[\"owner\"] for ticket in tickets}}\n    return [found[ticket[\"owner\"]] for ticket in tickets]\n")),
    ("thread_pool", many(("import functools\n", "import functools\nfrom concurrent.futures import ThreadPoolExecutor\n"), ("    return [fetch_owner(ticket[\"owner\"]) for ticket in tickets]\n", "    with ThreadPoolExecutor(max_workers=4) as pool:\n        return list(pool.map(fetch_owner, [ticket[\"owner\"] for ticket in tickets]))\n"))),
    ("to_thread", many(("import functools\n", "import asyncio\nimport functools\n"), ("    time.sleep(1)\n    return fetch_owner(owner_id)\n", "    await asyncio.sleep(1)\n    return await asyncio.to_thread(fetch_owner, owner_id)\n"))),
    ("bounded_cache", one('    answer = requests.get(f"{API}/rates/{currency}")\n    answer.raise_for_status()\n    return float(answer.json()["rate"])\n', '    if currency in _rates:\n        return _rates[currency]\n    answer = requests.get(f"{API}/rates/{currency}", timeout=5)\n    answer.raise_for_status()\n    if len(_rates) >= 256:\n        _rates.pop(next(iter(_rates)))\n    _rates[currency] = float(answer.json()["rate"])\n    return _rates[currency]\n')),
    ("ttl_cache", many((CONST, CONST + "_KEPT_S = 30.0\n_kept: dict[str, tuple[float, float]] = {}\n"), ('    answer = requests.get(f"{API}/rates/{currency}")\n    answer.raise_for_status()\n    return float(answer.json()["rate"])\n', '    now = time.monotonic()\n    kept = _kept.get(currency)\n    if kept is not None and now - kept[0] < _KEPT_S:\n        return kept[1]\n    answer = requests.get(f"{API}/rates/{currency}", timeout=5)\n    answer.raise_for_status()\n    found = float(answer.json()["rate"])\n    _kept[currency] = (now, found)\n    return found\n'))),
    ("ttl_helper", one("def fetch_owner(owner_id: int) -> dict:\n" + OWNER, "@functools.lru_cache(maxsize=1024)\ndef _owner_in_period(period: int, owner_id: int) -> dict:\n" + OWNER + "\n\ndef fetch_owner(owner_id: int) -> dict:\n    return _owner_in_period(int(time.monotonic() // 60), owner_id)\n")),
    ("retry", one(OWNER, '    for attempt in range(MAX_TRIES):\n        try:\n            answer = requests.get(f"{API}/owners/{owner_id}", timeout=5)\n            answer.raise_for_status()\n            return answer.json()\n        except (requests.ConnectionError, requests.Timeout):\n            if attempt == MAX_TRIES - 1:\n                raise\n            time.sleep(0.1 * 2**attempt)\n    raise RuntimeError("unreachable")\n')),
    ("retry_continue", one(OWNER, '    last: requests.RequestException | None = None\n    for _ in range(MAX_TRIES):\n        try:\n            answer = requests.get(f"{API}/owners/{owner_id}", timeout=5)\n            answer.raise_for_status()\n            return answer.json()\n        except requests.Timeout as error:\n            last = error\n            continue\n    raise last or RuntimeError("no tries")\n')),
    ("with_open", one(EXPORT, '    with open(path, "w") as file:\n        file.write(json.dumps(tickets))\n')),
    ("with_open_utf8", one(EXPORT, '    with open(path, "w", encoding="utf-8") as file:\n        json.dump(tickets, file)\n')),
    ("close_in_finally", one(EXPORT, '    file = open(path, "w")\n    try:\n        file.write(json.dumps(tickets))\n    finally:\n        file.close()\n')),
    ("closing_answer", one("    return float(answer.json()[\"rate\"])\n", "    try:\n        return float(answer.json()[\"rate\"])\n    finally:\n        answer.close()\n")),
    ("private_helper", many((LOOP, '    for entry in entries:\n        out += _hours(entry)\n'), ("def total_hours(", 'def _hours(entry: dict) -> float:\n    """Hours of one entry; none where it names none."""\n    return parse_hours(entry.get("hours", "0:00"))\n\n\ndef total_hours('))),
    ("typed_helper", many(("from desk.text import clean, parse_hours\n", "from desk.text import clean, parse_hours\n\nHours = float\n"), (LOOP, LOOP.replace("parse_hours(entry[\"hours\"])", "hours_of(entry)")), ("def total_hours(", 'def hours_of(entry: dict) -> Hours:\n    return parse_hours(entry["hours"])\n\n\ndef total_hours('))),
    ("helper_class", many((LOOP, "    total = _Total()\n    for entry in entries:\n        total.add(entry[\"hours\"])\n    out = total.hours\n"), ("def total_hours(", 'class _Total:\n    """Adds hours."""\n\n    def __init__(self) -> None:\n        self.hours = 0.0\n\n    def add(self, text: str) -> None:\n        self.hours += parse_hours(text)\n\n\ndef total_hours('))),
    ("private_method", many(("        return rows.fetchall()\n", "        return self._all(rows)\n"), ("    def find(", "    def _all(self, rows: sqlite3.Cursor) -> list[tuple]:\n        return rows.fetchall()\n\n    def find("))),
    ("docstring", one("def slug(title: str) -> str:\n", 'def slug(title: str) -> str:\n    """Lower-case words of a title: the token of its address, joined by `-`."""\n')),
    ("comment", before(GET, "    # The people service answers within 2 s; check its limits before raising this.\n")),
    ("comment_about_review", before(GET, "    # Rates change daily, so approved budgets use yesterday's; see the notes of the system.\n")),
    ("unicode_string", one('"Größe: " + size', 'f"Größe: {size}"', X)),
    ("two_files", Patch(summary="two", edits=(
        Edit(path=T, search='{currency}")', replace='{currency}", timeout=10)'),
        Edit(path=X, search="    return n if n < 2 else fib(n - 1) + fib(n - 2)\n", replace="    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n"),
    ))),
    ("lower_limit_of_rounding", one("int(minutes) / 60", "round(int(minutes) / 60, 2)", X)),
    ("empty_minutes", one("int(minutes) / 60", "int(minutes or 0) / 60", X)),
    ("join", one(LOOP + "    return out\n", '    parts = [parse_hours(entry["hours"]) for entry in entries]\n    return out + sum(parts)\n')),
    ("generator_to_list", one('" ".join(text.split())', '" ".join([word for word in text.split() if word])', X)),
    ("early_continue", one(LOOP, '    for entry in entries:\n        if entry.get("hours") is None:\n            continue\n        out += parse_hours(entry["hours"])\n')),
    ("isinstance", one("    return \" \".join(text.split())\n", '    if not isinstance(text, str):\n        raise TypeError("text must be a string")\n    return " ".join(text.split())\n', X)),
    ("info_logged", after(GET, '    log.debug("rate of %s took %.3f s", currency, answer.elapsed.total_seconds())\n')),
    ("lock_around", many((CONST, CONST + "_owners_lock = threading.Lock()\n"), ("    return [fetch_owner(ticket[\"owner\"]) for ticket in tickets]\n", "    with _owners_lock:\n        return [fetch_owner(ticket[\"owner\"]) for ticket in tickets]\n"))),
    ("hoisted_base", one(GET, '    url = f"{API}/rates/{currency}"\n    answer = requests.get(url, timeout=5)\n')),
    ("batch_http", one("    return [fetch_owner(ticket[\"owner\"]) for ticket in tickets]\n", "    found: dict[int, dict] = {}\n    for ticket in tickets:\n        number = ticket[\"owner\"]\n        if number not in found:\n            found[number] = fetch_owner(number)\n    return [found[ticket[\"owner\"]] for ticket in tickets]\n")),
    ("zero_hours", one("    return int(hours) + int(minutes) / 60\n", "    return int(hours or 0) + int(minutes or 0) / 60\n", X)),
    ("status_handled", one('    answer.raise_for_status()\n    return float(answer.json()["rate"])\n', '    if answer.status_code == 404:\n        raise KeyError(currency)\n    answer.raise_for_status()\n    return float(answer.json()["rate"])\n')),
    ("index_by_id", one(NAMES, '    return sorted({ticket["name"]: None for ticket in tickets}, key=[ticket["name"] for ticket in tickets].index)\n')),
    ("session_kept", many((CONST, CONST + "_session = requests.Session()\n"), (GET, '    answer = _session.get(f"{API}/rates/{currency}", timeout=5)\n'))),
]  # fmt: skip
