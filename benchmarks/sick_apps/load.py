"""Sends one service what its `load.py` makes up, at a steady rate, and writes down what came of each request."""

import argparse
import asyncio
import importlib.util
import json
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

import httpx2

REQUESTS_PER_CONNECTION = 8
DEFAULT_RATE = 25.0
TIMEOUT_S = 30.0
"""What callers of such services wait at most."""
FLUSH_S = 1.0


class Script(Protocol):
    """The `load.py` of a service; `rate(elapsed_s)` is optional."""

    request: Callable[[random.Random, bool], tuple[str, dict[str, Any]]]


def read_script(path: Path) -> Script:
    """Import the file without a place in any package."""
    spec = importlib.util.spec_from_file_location(f"load_of_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(Script, module)


class Load:
    """An open loop: each request is sent at its time, also while others wait for their answers."""

    def __init__(self, client: httpx2.AsyncClient, script: Script, output: IO[str], *, sick_after_s: float) -> None:
        self._client = client
        self._script = script
        self._output = output
        self._sick_after_s = sick_after_s
        self._rng = random.Random(1)
        self.stopping = asyncio.Event()

    def _write(self, record: dict[str, Any]) -> None:
        self._output.write(json.dumps(record) + "\n")

    async def _send(self, path: str, body: dict[str, Any]) -> None:
        headers = {"content-type": "application/json"}
        if self._rng.random() < 1 / REQUESTS_PER_CONNECTION:
            headers["connection"] = "close"
        content = json.dumps(body).encode()
        sent_at, started = time.time(), time.perf_counter()
        status: int | None = None
        release: str | None = None
        try:
            answer = await self._client.post(path, content=content, headers=headers)
            status, release = answer.status_code, answer.headers.get("x-release")
        except httpx2.TransportError as error:
            release = f"none: {type(error).__name__}"
        latency_ms = round((time.perf_counter() - started) * 1000, 2)
        component = path.strip("/")
        record = {"at": sent_at, "component": component, "status": status, "latency_ms": latency_ms}
        self._write(record | {"release": release})

    async def run(self) -> None:
        """Send until `stopping` is set, then wait for what is in flight."""
        started = due = time.perf_counter()
        rate = getattr(self._script, "rate", lambda _: DEFAULT_RATE)
        async with asyncio.TaskGroup() as requests:
            sampling = requests.create_task(self._sample())
            while not await self._stopped_before(due):
                elapsed = due - started
                requests.create_task(self._send(*self._script.request(self._rng, elapsed >= self._sick_after_s)))
                due += self._rng.uniform(0.5, 1.5) / rate(elapsed)
            sampling.cancel()

    async def _sample(self) -> None:
        """Ask for the gauges of whichever process answers, twice a second."""
        while True:
            try:
                answer = await self._client.get("/healthz", headers={"connection": "close"})
                said = answer.json()
                self._write({"at": time.time(), "pid": said["pid"], "release": said["release"], **said["gauges"]})
            except (httpx2.TransportError, ValueError):
                self._write({"at": time.time(), "pid": None})
            self._output.flush()
            await asyncio.sleep(FLUSH_S / 2)

    async def _stopped_before(self, due: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, due - time.perf_counter())):
                return await self.stopping.wait()
        except TimeoutError:
            return False


async def main(options: argparse.Namespace) -> None:
    """Run until a signal comes."""
    transport = httpx2.AsyncHTTPTransport(
        limits=httpx2.Limits(max_connections=1000, keepalive_expiry=2.0), trust_env=False
    )
    client = httpx2.AsyncClient(base_url=options.url, transport=transport, timeout=TIMEOUT_S)
    with options.output.open("a") as output:
        async with client:
            load = Load(client, read_script(options.script), output, sick_after_s=options.sick_after)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, load.stopping.set)
            await load.run()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", type=Path, required=True, help="the service's load.py")
    parser.add_argument("--url", required=True)
    parser.add_argument("--output", type=Path, required=True, help="one JSON line for each request")
    parser.add_argument("--sick-after", type=float, required=True, help="seconds until what shows the bug is sent")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(main(parse()))
