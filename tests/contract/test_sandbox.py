"""The sandbox port on every adapter; and, for bubblewrap, programs that try to get out."""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfbuild.adapters.sandbox import BubblewrapSandbox, NoSandbox, UnsafeLocalSandbox, find_sandbox
from selfbuild.adapters.sandbox.tree import descendants
from selfbuild.domain.errors import Unreachable
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult
from tests.fakes.sandbox import FakeSandbox

ROOT = Path(__file__).resolve().parents[2]
ESCAPES = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "escape"
CANARY = "canary-5f1c"
LIMITS = SandboxLimits(wall_s=20, cpu_s=10, memory_bytes=512 << 20)


def bubblewrap() -> Sandbox:
    """The real thing, or a skip with the reason."""
    sandbox = find_sandbox("bubblewrap")
    if isinstance(sandbox, NoSandbox):
        pytest.skip("bubblewrap does not work on this machine")
    return sandbox


def landlock() -> Sandbox:
    """The real thing, or a skip with the reason."""
    sandbox = find_sandbox("landlock")
    if isinstance(sandbox, NoSandbox):
        pytest.skip("landlock does not work on this machine")
    return sandbox


ISOLATING: list[Callable[[], Sandbox]] = [bubblewrap, landlock]
REAL: list[Callable[[], Sandbox]] = [*ISOLATING, UnsafeLocalSandbox]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


async def python(sandbox: Sandbox, tree: Path, code: str, limits: SandboxLimits = LIMITS) -> SandboxResult:
    (tree / "program.py").write_text(code)
    return await sandbox.run([sys.executable, "program.py"], tree=tree, limits=limits)


@pytest.mark.parametrize("make", [*REAL, FakeSandbox])
async def test_command_that_ends_well_has_exit_code_zero(make: Callable[[], Sandbox], tree: Path) -> None:
    result = await make().run(["true"], tree=tree, limits=LIMITS)

    assert (result.exit_code, result.limit) == (0, None)


@pytest.mark.parametrize("make", [*REAL, FakeSandbox])
async def test_probe_names_its_level(make: Callable[[], Sandbox]) -> None:
    status = await make().probe()

    assert status.level in ("bubblewrap", "landlock", "unsafe-local", "fake")
    assert status.safe == (not status.missing)


@pytest.mark.parametrize("make", REAL)
async def test_exit_code_and_both_outputs_are_told(make: Callable[[], Sandbox], tree: Path) -> None:
    result = await python(make(), tree, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize("make", REAL)
async def test_command_works_on_a_copy_of_the_tree(make: Callable[[], Sandbox], tree: Path) -> None:
    (tree / "sub").mkdir()
    (tree / "sub" / "data.txt").write_text("hello")

    result = await python(
        make(), tree, "p = open('sub/data.txt', 'r+'); print(p.read()); p.write('!'); open('new', 'w')"
    )

    assert result.stdout == "hello\n", result.stderr
    assert (tree / "sub" / "data.txt").read_text() == "hello"
    assert not (tree / "new").exists()


@pytest.mark.parametrize("make", REAL)
async def test_links_are_not_copied(make: Callable[[], Sandbox], tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY)
    (tree / "link").symlink_to(tmp_path / "secret")

    result = await python(make(), tree, "import os; print(os.listdir('.'))")

    assert result.stdout == "['program.py']\n"


@pytest.mark.parametrize("make", REAL)
async def test_environment_holds_only_what_was_given(
    make: Callable[[], Sandbox], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    code = "import os; print(os.environ.get('GIVEN'), 'AWS_SECRET_ACCESS_KEY' in os.environ)"

    result = await make().run([sys.executable, "-c", code], tree=tree, limits=LIMITS, environment={"GIVEN": "1"})

    assert result.stdout == "1 False\n"


@pytest.mark.parametrize("make", REAL)
async def test_time_limit_ends_the_command(make: Callable[[], Sandbox], tree: Path) -> None:
    result = await make().run(["sleep", "30"], tree=tree, limits=SandboxLimits(wall_s=0.5))

    assert (result.exit_code, result.limit) == (None, "wall")
    assert result.duration_ms < 10_000


@pytest.mark.parametrize("make", REAL)
async def test_processor_limit_ends_the_command(make: Callable[[], Sandbox], tree: Path) -> None:
    result = await python(make(), tree, "while True: pass", SandboxLimits(wall_s=20, cpu_s=1))

    assert (result.exit_code, result.limit) == (None, "cpu")


@pytest.mark.parametrize("make", REAL)
async def test_memory_of_all_processes_together_is_limited(make: Callable[[], Sandbox], tree: Path) -> None:
    code = (
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        x = b'x' * (60 << 20); time.sleep(20); os._exit(0)\n"
        "time.sleep(20)\n"
    )

    result = await python(make(), tree, code, SandboxLimits(wall_s=15, memory_bytes=200 << 20))

    assert result.limit == "memory"


@pytest.mark.parametrize("make", REAL)
async def test_flood_of_output_is_cut_and_ended(make: Callable[[], Sandbox], tree: Path) -> None:
    limits = SandboxLimits(wall_s=15, output_bytes=10_000)

    result = await python(make(), tree, "import os\nwhile True: os.write(1, b'A' * 65536)", limits)

    assert result.limit == "output"
    assert 0 < len(result.stdout) <= 10_000


@pytest.mark.parametrize("make", REAL)
async def test_missing_command_is_no_verdict(make: Callable[[], Sandbox], tree: Path) -> None:
    with pytest.raises(Unreachable, match="did not start"):
        await make().run(["/no/such/program"], tree=tree, limits=LIMITS)


@pytest.mark.parametrize("make", REAL)
async def test_cancelling_ends_every_process(make: Callable[[], Sandbox], tree: Path) -> None:
    sandbox = make()
    task = asyncio.create_task(sandbox.run(["sleep", "60"], tree=tree, limits=LIMITS))
    while len(below := descendants(os.getpid())) < 1 or not any("sleep" in words(pid) for pid in below):
        await asyncio.sleep(0.01)
        assert not task.done()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while any("sleep" in words(pid) for pid in below):
            await asyncio.sleep(0.01)


def words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


@pytest.mark.parametrize("make", ISOLATING)
async def test_runs_leave_no_files_and_no_descriptors(make: Callable[[], Sandbox], tree: Path) -> None:
    sandbox = make()
    await sandbox.run(["true"], tree=tree, limits=LIMITS)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        await sandbox.run(["true"], tree=tree, limits=LIMITS)

    assert len(os.listdir("/proc/self/fd")) <= before


async def test_bubblewrap_shows_every_promise_kept() -> None:
    status = await bubblewrap().probe()

    assert status.missing == ()
    assert {"network", "files", "environment", "memory", "disk", "time"} <= set(status.enforced)
    assert status.safe


async def test_unsafe_sandbox_says_what_is_missing() -> None:
    status = await UnsafeLocalSandbox().probe()

    assert not status.safe
    assert any(reason.startswith("network: ") for reason in status.missing)


async def test_sandbox_that_cannot_start_says_so(tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no namespaces here' >&2\nexit 1\n")
    broken.chmod(0o755)
    sandbox = BubblewrapSandbox(bwrap=str(broken))

    with pytest.raises(Unreachable, match="no namespaces here"):
        await sandbox.run(["true"], tree=tree, limits=LIMITS)
    status = await sandbox.probe()
    assert (status.enforced, status.safe) == ((), False)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.skipif(not ESCAPES.is_dir(), reason=f"no escape programs in {ESCAPES}: set SELFBUILD_SHARED_DATA")
@pytest.mark.parametrize("program", sorted(p.name for p in ESCAPES.glob("[a-z]*.py")) if ESCAPES.is_dir() else [])
async def test_escape_program_ran_and_was_contained(
    program: str, tree: Path, tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    for folder in (outside, home / ".aws", home / ".ssh"):
        folder.mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(CANARY)
    (home / ".ssh" / "id_rsa").write_text(CANARY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    for name in (program, "_h.py"):
        shutil.copyfile(ESCAPES / name, tree / name)
    settings = {"outside": str(outside), "home": str(home), "canary": CANARY, "tcp_port": listener}
    (tree / "cfg.json").write_text(json.dumps(settings))

    limits = SandboxLimits(wall_s=4, cpu_s=5)
    result = await bubblewrap().run([sys.executable, program], tree=tree, limits=limits)

    ran = "RESULT " in result.stdout or (program == "stdout_flood.py" and "AAAA" in result.stdout)
    assert ran, f"no proof that it ran: {result.stderr}"
    assert "RESULT escaped" not in result.stdout
    assert not any(outside.iterdir())
    assert not (home / ".bashrc").exists()


OWN_ESCAPES = {
    "reads shadow": "open('/etc/shadow').read()",
    "reads another process": "open(f'/proc/{PARENT}/cmdline').read()",
    "writes core pattern": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "writes system": "open('/usr/lib/x.py', 'w')",
    "writes interpreter": "open(os.path.join(sys.prefix, 'lib', 'x.pth'), 'w')",
    "writes root": "os.mkdir('/new')",
    "sends udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('203.0.113.1', 53))",
    "opens raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "opens vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "connects unix socket": "socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
    "becomes root": "os.setuid(0)",
    "new user namespace": "call(272, 0x10000000)",
    "mounts": "call(165, b'none', b'/mnt', b'tmpfs', 0, 0)",
    "traces": "call(101, 16, 1, 0, 0)",
    "changes root": "os.chroot('/tmp')",
    "anonymous executable": "call(319, b'x', 0)",
    "io_uring": "call(425, 1, 0)",
    "keyring": "call(250, 0, -3, 1)",
    "device node": "os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0))",
    "types into terminal": "fcntl.ioctl(0, 0x5412, b'x')",
    "raises limit": "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
    "large file": "open('big', 'wb').truncate(1 << 30)",
    "many threads of files": "[open('/dev/null') for _ in range(300)]",
    "kills the parent": "os.kill(PARENT, 9)",
    "sets the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "host name": "socket.sethostname('x')",
    "python path planted": "open('/usr/lib/python3/dist-packages/x.pth', 'w')",
}
_SHELL = """
import ctypes, fcntl, os, resource, signal, socket, sys, time
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
PARENT = {parent}
def call(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
try:
    {code}
except (OSError, ValueError) as error:
    print("RESULT blocked", error)
else:
    print("RESULT escaped")
"""


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in OWN_ESCAPES.items()])
async def test_attempt_ran_and_was_blocked(code: str, tree: Path) -> None:
    result = await python(bubblewrap(), tree, _SHELL.format(parent=os.getpid(), code=code))

    assert result.stdout.startswith("RESULT blocked"), (result.stdout, result.stderr)


@pytest.mark.parametrize("make", REAL)
async def test_daemon_does_not_outlive_the_command(make: Callable[[], Sandbox], tree: Path) -> None:
    marker = f"marker-{os.getpid()}"
    code = f"import os, subprocess\nsubprocess.Popen(['sleep', '55'], start_new_session=True)\nprint('{marker}')\n"

    result = await python(make(), tree, code)

    assert result.exit_code == 0
    assert result.stdout == f"{marker}\n"
    assert not any(words(pid)[:2] == ["sleep", "55"] for pid in descendants(os.getpid()))


async def test_disk_is_limited(tree: Path) -> None:
    code = (
        "n = 0\n"
        "try:\n"
        "    for i in range(64):\n"
        "        open(f'f{i}', 'wb').write(b'x' * (16 << 20)); n += 16\n"
        "except OSError as error:\n"
        "    print('RESULT blocked', n, error)\n"
    )

    result = await python(bubblewrap(), tree, code)

    assert result.stdout.startswith("RESULT blocked"), result.stderr


async def test_loopback_inside_works_for_tests_with_servers(tree: Path) -> None:
    code = (
        "import socket\n"
        "s = socket.create_server(('localhost', 0))\n"
        "c = socket.create_connection(s.getsockname())\n"
        "print('connected')\n"
    )

    result = await python(bubblewrap(), tree, code)

    assert result.stdout == "connected\n", result.stderr
