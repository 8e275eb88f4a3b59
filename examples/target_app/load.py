"""Meetings that come in at a steady rate, whatever the application's answers, and then grow."""

import argparse
import asyncio
import json
import os
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2

Outcome = Literal["ok", "http_errors", "dropped"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "http_errors", "dropped")
MIX = {"topics": 0.4, "actions": 0.4, "summary": 0.2}
OWNERLESS_RATIO = 0.2
REQUESTS_PER_CONNECTION = 8
RECENT_S = 10.0
BODIES = 16  # of each kind: made once, so that the generator leaves the processor to the application
SYLLABLES = [consonant + vowel for consonant in "bdfgjklmnprstvwz" for vowel in "aeiou"]
WORDS = [f"{first}{second}n" for first in SYLLABLES for second in SYLLABLES]
PEOPLE = ["Ada", "Ben", "Chen", "Dora", "Emil", "Fatou", "Grace", "Hugo", "Ines", "Kofi"]


class Sample(NamedTuple):
    """One request, finished."""

    ended_s: float
    component: str
    outcome: Outcome
    latency_ms: float


class Tally:
    """Counts of requests, and p95 of the last 2,000 of each component."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._counts = {component: Counter[str]() for component in MIX}
        self._latencies = {component: deque[float](maxlen=2000) for component in MIX}
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """Count a request."""
        self._counts[sample.component][sample.outcome] += 1
        if sample.outcome != "dropped":
            self._latencies[sample.component].append(sample.latency_ms)

    def report(self) -> dict[str, Any]:
        """The statistics; a p95 without answers is None."""
        total = sum(self._counts.values(), Counter[str]())
        by_component = {
            component: {
                "sent": counts.total(),
                "http_errors": counts["http_errors"],
                "p95_ms": p95(self._latencies[component]),
            }
            for component, counts in self._counts.items()
        }
        outcomes: dict[str, int] = {outcome: total[outcome] for outcome in OUTCOMES}
        return {"sent": total.total(), **outcomes, "by_component": by_component}


def p95(values: Sequence[float]) -> float | None:
    """Nearest-rank 95th percentile."""
    return round(sorted(values)[-(-len(values) * 95 // 100) - 1], 2) if values else None


def transcript(rng: random.Random, distinct: int, words: int) -> bytes:
    """Body of POST /topics with so many words, of which so many are distinct."""
    topics = rng.sample(WORDS, distinct)
    spoken = topics + rng.choices(topics, k=words - distinct)
    rng.shuffle(spoken)
    return json.dumps({"transcript": spoken}).encode()


def agreed(rng: random.Random, *, ownerless: bool) -> bytes:
    """Body of POST /actions with the items of a day-long meeting; `ownerless`: some belong to nobody."""
    items = []
    for _ in range(rng.randint(70, 120)):
        first, second, third = rng.sample(WORDS, 3)
        text = f"Prepare the {first} offer with the {second} team, then tell everybody about {third}"
        due = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        items.append({"text": text, "owner": rng.choice(PEOPLE), "due": due})
    for item in rng.sample(items, len(items) // 4 if ownerless else 0):
        del item["owner"]
    return json.dumps({"title": "All hands", "items": items}).encode()


class Load:
    """An open loop: each request is sent at its time, also while others wait for their answers."""

    def __init__(self, client: httpx2.AsyncClient, options: argparse.Namespace) -> None:
        self._client = client
        self._options = options
        self._rng = rng = random.Random(options.seed)
        self._tenants: list[str] = options.tenants.split(",")
        self._small = [transcript(rng, rng.randint(15, 40), rng.randint(50, 80)) for _ in range(BODIES)]
        self._grown = [transcript(rng, rng.randint(1300, 1600), rng.randint(2000, 2500)) for _ in range(BODIES)]
        self._owned = [agreed(rng, ownerless=False) for _ in range(BODIES)]
        self._ownerless = [agreed(rng, ownerless=True) for _ in range(BODIES)]
        self._recent: deque[Sample] = deque()
        self._tally = Tally()
        self.stopping = asyncio.Event()

    def _body(self, component: str, elapsed_s: float) -> bytes:
        if component == "topics":
            return self._rng.choice(self._grown if elapsed_s >= self._options.growth_after else self._small)
        ownerless = elapsed_s >= self._options.errors_after and self._rng.random() < OWNERLESS_RATIO
        return self._rng.choice(self._ownerless if ownerless else self._owned)

    async def _send(self, component: str, body: bytes) -> None:
        headers = {"x-tenant-id": self._rng.choice(self._tenants), "content-type": "application/json"}
        if self._rng.random() < 1 / REQUESTS_PER_CONNECTION:
            headers["connection"] = "close"
        started_s = time.perf_counter()
        outcome: Outcome = "ok"
        try:
            response = await self._client.post(f"/{component}", content=body, headers=headers)
            if response.status_code >= 500:
                outcome = "http_errors"
        except httpx2.TransportError:
            outcome = "dropped"
        ended_s = time.perf_counter()
        sample = Sample(ended_s, component, outcome, (ended_s - started_s) * 1000)
        self._tally.add(sample)
        self._recent.append(sample)

    def report(self) -> dict[str, Any]:
        """Statistics of the whole run and of its last ten seconds."""
        while self._recent and self._recent[0].ended_s < time.perf_counter() - RECENT_S:
            self._recent.popleft()
        return {**self._tally.report(), "recent": Tally(self._recent).report()}

    async def run(self) -> None:
        """Send until the duration is over or `stopping` is set, then wait for what is in flight."""
        started_s = due_s = time.perf_counter()
        end_s = started_s + self._options.duration
        async with asyncio.TaskGroup() as requests:
            while due_s < end_s and not await self._stopped_before(due_s):
                component = self._rng.choices(list(MIX), list(MIX.values()))[0]
                requests.create_task(self._send(component, self._body(component, due_s - started_s)))
                due_s += self._rng.uniform(0.5, 1.5) / self._options.rate

    async def _stopped_before(self, due_s: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, due_s - time.perf_counter())):
                return await self.stopping.wait()
        except TimeoutError:
            return False


def write_stats(path: Path | None, report: dict[str, Any]) -> None:
    """Replace the statistics file at once, so that no reader sees half of it."""
    if path:
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(report))
        scratch.replace(path)


async def _write_every_second(path: Path | None, load: Load) -> None:
    while True:
        write_stats(path, load.report())
        await asyncio.sleep(1)


async def main(options: argparse.Namespace) -> None:
    """Run until the duration is over or a signal comes, and print the statistics."""
    limits = httpx2.Limits(max_connections=64, keepalive_expiry=2.0)
    transport = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    async with httpx2.AsyncClient(base_url=options.url, transport=transport, timeout=10.0) as client:
        load = Load(client, options)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, load.stopping.set)
        writer = asyncio.create_task(_write_every_second(options.stats, load))
        await load.run()
        writer.cancel()
    write_stats(options.stats, load.report())
    print(json.dumps(load.report()))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; times are seconds since the start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second")
    parser.add_argument("--growth-after", type=float, default=20.0, help="when transcripts grow")
    parser.add_argument("--errors-after", type=float, help="when owners go missing; with the growth if not given")
    parser.add_argument("--duration", type=float, default=float("inf"))
    parser.add_argument("--stats", type=Path, help="JSON file, replaced every second")
    parser.add_argument("--tenants", default="meetmind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.errors_after is None:
        options.errors_after = options.growth_after
    return options


if __name__ == "__main__":
    asyncio.run(main(parse()))
