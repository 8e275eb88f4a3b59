"""What every release target promises, on the fake and on the supervisor; then the supervisor under load and kill -9."""

import asyncio
import contextlib
import hashlib
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from selfbuild.adapters.process_release import ProcessRelease
from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig
from selfbuild.domain.errors import Conflict, InvalidRequest, MalformedAnswer, Unreachable
from selfbuild.domain.releases import TargetStatus
from selfbuild.ports import ReleaseTarget
from tests.fakes.release import FakeReleaseTarget

SERVICE = """
import asyncio, json, os
NAME = {name!r}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    status = {health} if scope["path"] == "/healthz" else 200
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    if scope["path"] == "/die":
        os._exit(9)
    body = json.dumps({{"name": NAME, "release": os.environ["RELEASE_ID"], "pid": os.getpid()}}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": status, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""
BROKEN = {
    "import": "raise RuntimeError('broken at import')\n",
    "startup": "async def app(scope, receive, send):\n    await receive()\n"
    "    await send({'type': 'lifespan.startup.failed', 'message': 'broken at startup'})\n",
    "health": SERVICE.format(name="broken", health=500),
}


def sha_of(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def a_tree(root: Path, name: str, source: str | None = None) -> Path:
    """A release's folder with the package `meetnotes`."""
    package = root / name / "meetnotes"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "app.py").write_text(source or SERVICE.format(name=name, health=200))
    return root / name


def an_application(control_url: str) -> Application:
    return Application(
        tenant_id="acme",
        name="meetnotes",
        telemetry=TelemetryConfig(log_group="/x"),
        repository=RepositoryConfig(url="/nowhere"),
        release=ProcessTarget(control_url=control_url),
    )


class Supervised:
    """A supervisor in its own process, with its folders; `old` is its first baseline."""

    def __init__(self, root: Path, *, workers: int, canary_workers: int) -> None:
        self.root = root
        self.state = root / "state"
        self.port, self.control_port = free_ports(2)
        self.counts = ["--workers", str(workers), "--canary-workers", str(canary_workers)]
        self.application = an_application(f"http://127.0.0.1:{self.control_port}")
        self.process: asyncio.subprocess.Process | None = None
        self.errors = root / "supervisor.log"

    def command(self, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "selfbuild.supervisor", "--state", str(self.state), "--app", "meetnotes.app:app"),
            *("--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}", "--drain-s", "1"),
            *("--tree", str(a_tree(self.root, "old")), "--sha", sha_of("old"), *self.counts, *more),
        ]

    async def start(self) -> str:
        with self.errors.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(*self.command(), stdout=PIPE, stderr=errors)
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            line = (await self.process.stdout.readline()).decode().strip()
        assert line.startswith("supervisor ready"), self.errors.read_text()
        return line

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(40):
            return await self.process.wait()

    async def status(self) -> dict[str, object]:
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.control_port}/status")
        found: dict[str, object] = answer.json()
        return found

    async def names(self, count: int = 20) -> set[str]:
        """Which releases answer, asked over new connections."""
        return {(await Connection(self.port).get("/"))["name"] for _ in range(count)}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Connection:
    """A client that keeps its connection as long as the server lets it; an answer that does not come raises."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, *, keep: bool = False) -> dict[str, str]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 200 "), head
            length = int(head.partition("content-length: ")[2].split("\r\n")[0])
            answer: dict[str, str] = json.loads(await reader.readexactly(length))
        except BaseException:
            await self.close()
            raise
        if not keep or "connection: close" in head:
            await self.close()
        return answer

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError):
                await self._streams[1].wait_closed()
            self._streams = None


@dataclass
class Load:
    """Clients that ask without pause, over kept and new connections, and requests that take long."""

    port: int
    answers: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    _stopped: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        async with asyncio.TaskGroup() as group:
            for path, keep, clients in (("/", True, 6), ("/", False, 4), ("/slow", True, 4)):
                for _ in range(clients):
                    group.create_task(self._ask(path, keep))
            try:
                await self.answered(50)
                yield self
            finally:
                self._stopped = True

    async def answered(self, count: int, name: str | None = None) -> None:
        """Returns after so many further answers (of the release `name`)."""
        aim = self._count(name) + count
        await until(lambda: self._count(name) >= aim)

    def _count(self, name: str | None) -> int:
        return self.answers[name] if name else self.answers.total()

    async def _ask(self, path: str, keep: bool) -> None:
        connection = Connection(self.port)
        while not self._stopped:
            try:
                self.answers[(await connection.get(path, keep=keep))["name"]] += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                self.dropped.append(f"{path} keep={keep}: {error!r}")
                await asyncio.sleep(0.05)
        await connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.02)


async def until_status(supervised: Supervised, **expected: object) -> dict[str, object]:
    async with asyncio.timeout(40):
        while True:
            status = await supervised.status()
            if all(status[name] == value for name, value in expected.items()):
                return status
            await asyncio.sleep(0.05)


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    running = Supervised(tmp_path, workers=2, canary_workers=1)
    await running.start()
    yield running
    await running.stop()


@dataclass
class World:
    """A target with the first baseline `old`."""

    target: ReleaseTarget
    application: Application
    root: Path

    async def start(self, release_id: str, name: str) -> TargetStatus:
        return await self.target.start_canary(
            self.application, release_id=release_id, sha=sha_of(name), tree=self.tree(name)
        )

    async def replace(self, name: str) -> TargetStatus:
        return await self.target.replace_baseline(self.application, sha=sha_of(name), tree=self.tree(name))

    def tree(self, name: str) -> Path:
        return a_tree(self.root, name, BROKEN["health"] if name == "broken" else None)


@pytest.fixture(params=["fake", "supervisor"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeReleaseTarget(sha_of("old"), workers=2, canary_workers=1, unhealthy={sha_of("broken")})
        yield World(fake, an_application("http://127.0.0.1:1"), tmp_path)
        return
    running = Supervised(tmp_path, workers=2, canary_workers=1)
    await running.start()
    yield World(ProcessRelease(), running.application, tmp_path)
    await running.stop()


def a_status(baseline: str, canary: str | None = None, release_id: str | None = None) -> TargetStatus:
    return TargetStatus(
        baseline_sha=sha_of(baseline),
        canary_sha=sha_of(canary) if canary else None,
        canary_release_id=release_id,
        workers=2,
        canary_workers=1 if canary else 0,
        healthy=True,
    )


async def test_trial_and_promotion_run_twice_have_their_effect_once(world: World) -> None:
    on_trial, promoted = a_status("old", "new", "rel-1"), a_status("new")

    assert await world.target.describe(world.application) == a_status("old")
    assert [await world.start("rel-1", "new") for _ in range(2)] == [on_trial, on_trial]
    assert [await world.target.promote(world.application, release_id="rel-1") for _ in range(2)] == [promoted, promoted]


async def test_stopped_canary_leaves_the_baseline_and_is_barred(world: World) -> None:
    await world.start("rel-1", "new")

    stopped = [await world.target.stop_canary(world.application, release_id="rel-1") for _ in range(2)]

    assert stopped == [a_status("old")] * 2
    with pytest.raises(Conflict, match="barred"):
        await world.start("rel-1", "new")
    assert await world.start("rel-2", "new") == a_status("old", "new", "rel-2")


async def test_stopping_a_release_that_never_started_bars_it(world: World) -> None:
    assert await world.target.stop_canary(world.application, release_id="rel-1") == a_status("old")

    with pytest.raises(Conflict, match="barred"):
        await world.start("rel-1", "new")


async def test_only_one_release_is_on_trial(world: World) -> None:
    await world.start("rel-1", "new")

    with pytest.raises(Conflict, match="rel-1"):
        await world.start("rel-2", "newer")
    with pytest.raises(Conflict, match="rel-2"):
        await world.target.promote(world.application, release_id="rel-2")
    assert await world.target.stop_canary(world.application, release_id="rel-2") == a_status("old", "new", "rel-1")


async def test_unhealthy_release_changes_nothing(world: World) -> None:
    with pytest.raises(InvalidRequest, match="not healthy"):
        await world.start("rel-1", "broken")
    with pytest.raises(InvalidRequest, match="not healthy"):
        await world.replace("broken")
    assert await world.target.describe(world.application) == a_status("old")


async def test_baseline_is_replaced_once_and_ends_a_trial(world: World) -> None:
    await world.start("rel-1", "new")

    assert [await world.replace("newer") for _ in range(2)] == [a_status("newer")] * 2
    with pytest.raises(Conflict, match="rel-1"):
        await world.target.promote(world.application, release_id="rel-1")


# The supervisor alone


async def test_no_request_is_dropped_by_any_change(tmp_path: Path) -> None:
    running = Supervised(tmp_path, workers=4, canary_workers=2)
    await running.start()
    world = World(ProcessRelease(), running.application, tmp_path)

    async with Load(running.port).running() as load:
        await world.start("rel-1", "bad")
        await load.answered(50, "bad")
        await world.target.stop_canary(world.application, release_id="rel-1")
        assert await running.names() == {"old"}
        with pytest.raises(InvalidRequest):
            await world.start("rel-2", "broken")
        await world.start("rel-3", "good")
        await load.answered(50, "good")
        await load.answered(50, "old")
        await world.target.promote(world.application, release_id="rel-3")
        assert await running.names() == {"good"}
        await world.replace("last")
        assert await running.names() == {"last"}
        await load.answered(50, "last")

    assert await running.stop() == 0
    assert load.dropped == []
    assert set(load.answers) == {"old", "bad", "good", "last"}


@pytest.mark.parametrize(
    ("kind", "said"), [("import", "broken at import"), ("startup", "broken at startup"), ("health", "answered 500")]
)
async def test_refusal_of_a_broken_release_ends_with_its_output(
    supervised: Supervised, kind: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await ProcessRelease().start_canary(
            supervised.application,
            release_id="rel-1",
            sha=sha_of(kind),
            tree=a_tree(tmp_path, kind, BROKEN[kind]),
        )
    assert await supervised.names() == {"old"}


async def test_missing_tree_is_refused(supervised: Supervised, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        await ProcessRelease().start_canary(
            supervised.application, release_id="rel-1", sha=sha_of("absent"), tree=tmp_path / "absent"
        )
    assert await supervised.names() == {"old"}


async def test_ended_worker_is_replaced(supervised: Supervised) -> None:
    pids = (await supervised.status())["pids"]

    with pytest.raises(asyncio.IncompleteReadError):
        await Connection(supervised.port).get("/die")

    await until_status(supervised, workers=1)
    status = await until_status(supervised, workers=2, healthy=True)
    assert status["pids"] != pids


async def test_canary_that_ends_again_and_again_is_taken_out_and_barred(supervised: Supervised, tmp_path: Path) -> None:
    dying = SERVICE.format(name="dying", health=200).replace(
        "async def app", "import threading; threading.Timer(0.4, os._exit, [7]).start()\n\nasync def app"
    )
    await ProcessRelease().start_canary(
        supervised.application, release_id="rel-1", sha=sha_of("dying"), tree=a_tree(tmp_path, "dying", dying)
    )

    status = await until_status(supervised, canary=None, workers=2, healthy=True)

    assert status["barred"] == ["rel-1"]
    assert await supervised.names() == {"old"}


async def test_killed_supervisor_leaves_no_process_and_comes_back_with_its_state(
    supervised: Supervised, tmp_path: Path
) -> None:
    world = World(ProcessRelease(), supervised.application, tmp_path)
    await world.target.stop_canary(world.application, release_id="rel-0")
    await world.start("rel-1", "new")
    pids = (await supervised.status())["pids"]
    assert isinstance(pids, list)

    await supervised.stop(signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in pids))
    with pytest.raises(Unreachable):
        await world.target.describe(world.application)
    line = await supervised.start()

    assert line == (
        f"supervisor ready http://127.0.0.1:{supervised.port} control http://127.0.0.1:{supervised.control_port}"
    )
    assert await world.target.describe(world.application) == a_status("old", "new", "rel-1")
    assert await world.start("rel-1", "new") == a_status("old", "new", "rel-1")
    assert await world.target.promote(world.application, release_id="rel-1") == a_status("new")
    with pytest.raises(Conflict, match="barred"):
        await world.start("rel-0", "newer")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_restart_with_a_canary_that_broke_meanwhile_serves_the_baseline(
    supervised: Supervised, tmp_path: Path
) -> None:
    world = World(ProcessRelease(), supervised.application, tmp_path)
    await world.start("rel-1", "new")
    await supervised.stop(signal.SIGKILL)
    a_tree(tmp_path, "new", BROKEN["import"])

    await supervised.start()

    assert await world.target.describe(world.application) == a_status("old")
    with pytest.raises(Conflict, match="barred"):
        await world.start("rel-1", "new")


async def test_sigterm_finishes_what_runs_and_ends_with_0(supervised: Supervised) -> None:
    pids = (await supervised.status())["pids"]
    assert isinstance(pids, list)
    asked = [asyncio.create_task(Connection(supervised.port).get("/slow")) for _ in range(4)]
    await asyncio.gather(*(Connection(supervised.port).get("/") for _ in range(20)))

    assert await supervised.stop() == 0
    assert [(await each)["name"] for each in asked] == ["old"] * 4
    assert not any(alive(pid) for pid in pids)


async def test_workers_get_the_release_id_and_leave_no_bytecode(supervised: Supervised) -> None:
    answer = await Connection(supervised.port).get("/")

    assert answer["release"] == sha_of("old")[:12]
    assert not list(supervised.root.glob("old/**/__pycache__"))


async def test_control_refuses_what_a_web_page_could_send(supervised: Supervised) -> None:
    url = f"http://127.0.0.1:{supervised.control_port}/stop-canary"
    async with httpx2.AsyncClient(trust_env=False) as client:
        plain = await client.post(url, content='{"release_id": "x"}', headers={"content-type": "text/plain"})
        rebound = await client.post(url, json={"release_id": "x"}, headers={"host": "evil.example"})
        unknown = await client.post(url, json={"release_id": "x", "more": 1})

    assert [answer.status_code for answer in (plain, rebound, unknown)] == [415, 400, 400]
    assert (await supervised.status())["barred"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({}, "another supervisor uses", id="same state"),
        pytest.param({"--state": "other"}, "Address already in use", id="busy port"),
        pytest.param({"--listen": "0.0.0.0:0"}, "not on loopback", id="not loopback"),
        pytest.param({"--control": "0.0.0.0:0"}, "must be on loopback", id="control not on loopback"),
    ],
)
async def test_supervisor_that_cannot_start_says_why_in_one_line(
    supervised: Supervised, change: dict[str, str], said: str, tmp_path: Path
) -> None:
    more = [
        part for name, value in change.items() for part in (name, str(tmp_path / value) if value == "other" else value)
    ]

    second = await asyncio.create_subprocess_exec(*supervised.command(*more), stdout=PIPE, stderr=PIPE)
    out, err = await second.communicate()

    assert second.returncode in (1, 2)
    assert out == b""
    assert said in err.decode().splitlines()[-1]


async def test_supervisor_whose_baseline_is_broken_ends(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path, workers=2, canary_workers=1)
    command = supervised.command()
    a_tree(tmp_path, "old", BROKEN["import"])

    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    _, err = await process.communicate()

    assert process.returncode == 1
    assert "baseline cannot be served" in err.decode()


async def test_answer_of_something_else_is_malformed() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MalformedAnswer, match="no status"):
            await ProcessRelease().describe(an_application(f"http://127.0.0.1:{port}"))


async def test_nothing_listening_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        await ProcessRelease().describe(an_application(f"http://127.0.0.1:{free_ports(1)[0]}"))
