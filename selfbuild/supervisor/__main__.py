"""`python -m selfbuild.supervisor`: serve one application from its releases."""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog
from pydantic import ValidationError

from selfbuild.domain.errors import Misconfigured
from selfbuild.supervisor.control import ControlServer, control_app
from selfbuild.supervisor.service import Supervisor
from selfbuild.supervisor.state import RunningRelease, State, StateFile
from selfbuild.supervisor.worker import Unhealthy, WorkerSettings

_QUEUE_LENGTH = 2048
_PREDECESSOR_ENDS_S = 1.0
"""Workers of a supervisor that was killed hold the port until the kernel has ended them, some milliseconds."""


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.IPv4Address(host)
        number = int(port)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 127.0.0.1:PORT") from error
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port")
    return host, number


def _on_loopback(address: tuple[str, int]) -> bool:
    return ipaddress.IPv4Address(address[0]).is_loopback


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m selfbuild.supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder of supervisor.json")
    parser.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT", help="of the application")
    parser.add_argument(
        "--beyond-loopback", action="store_true", help="let --listen name another address, as in a container"
    )
    parser.add_argument("--control", type=_address, required=True, metavar="HOST:PORT", help="of the control interface")
    parser.add_argument("--app", required=True, metavar="MODULE:NAME", help="the ASGI application in the tree")
    parser.add_argument("--tree", type=Path, help="folder of the first release; an existing state wins")
    parser.add_argument("--sha", help="commit of the first release")
    parser.add_argument("--workers", type=int, default=4, help="processes (%(default)s)")
    parser.add_argument("--canary-workers", type=int, default=1, help="of them for a canary (%(default)s)")
    parser.add_argument("--health-path", default="/healthz", help="must answer 2xx (%(default)s)")
    parser.add_argument("--health-timeout-s", type=float, default=30, help="until a worker is healthy (%(default)s)")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the application, with uvicorn")
    parser.add_argument("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--drain-s", type=float, default=2, help="for clients to leave a worker (%(default)s)")
    arguments = parser.parse_args()
    if not 1 <= arguments.canary_workers < arguments.workers:
        parser.error("--canary-workers must be at least 1 and smaller than --workers")
    if not _on_loopback(arguments.control):
        parser.error("--control must be on loopback: whoever reaches it decides what serves")
    if not (arguments.beyond_loopback or _on_loopback(arguments.listen)):
        parser.error("--listen is not on loopback: put a proxy in front, or say --beyond-loopback")
    return arguments


def _first_state(file: StateFile, arguments: argparse.Namespace) -> State:
    state = file.load()
    if state is not None:
        return state
    if arguments.tree is None or arguments.sha is None:
        raise Misconfigured("there is no state yet: give --tree and --sha of the first release")
    try:
        return State(baseline=RunningRelease(sha=arguments.sha, tree=arguments.tree.resolve()))
    except ValidationError as error:
        raise Misconfigured(f"--sha {arguments.sha!r} is no full commit sha") from error


@contextlib.contextmanager
def _sole_user(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Misconfigured(f"another supervisor uses {str(folder)!r}: give each its own --state") from error
    finally:
        os.close(lock)


async def _bind(address: tuple[str, int], name: str) -> socket.socket:
    until = asyncio.get_running_loop().time() + _PREDECESSOR_ENDS_S
    while True:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen(_QUEUE_LENGTH)
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE or asyncio.get_running_loop().time() > until:
                where = f"{address[0]}:{address[1]}"
                raise Misconfigured(f"{name} {where}: {error.strerror}: stop its user or give another") from error
            await asyncio.sleep(0.05)
        else:
            bound.setblocking(False)
            return bound


async def _serve(arguments: argparse.Namespace) -> None:
    file = StateFile(arguments.state)
    settings = WorkerSettings(
        app=arguments.app,
        health_path=arguments.health_path,
        python=arguments.python,
        environment={**os.environ, **dict(arguments.env)},
        drain_s=arguments.drain_s,
        health_timeout_s=arguments.health_timeout_s,
    )
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    state = _first_state(file, arguments)
    with await _bind(arguments.listen, "--listen") as listening, await _bind(arguments.control, "--control") as control:
        counts = {"workers": arguments.workers, "canary_workers": arguments.canary_workers}
        supervisor = Supervisor(listening, file, state, settings, **counts)
        await supervisor.start()
        server = ControlServer(control_app(supervisor))
        serving = asyncio.create_task(server.serve(sockets=[control]))
        addresses = ["http://{}:{}".format(*bound.getsockname()) for bound in (listening, control)]
        print("supervisor ready {} control {}".format(*addresses), flush=True)  # noqa: T201 - for who started it
        await told_to_stop.wait()
        server.should_exit = True
        await serving
        await supervisor.stop()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    arguments = _arguments()
    try:
        with _sole_user(arguments.state):
            asyncio.run(_serve(arguments))
    except Misconfigured as error:
        sys.exit(f"supervisor: {error}")
    except Unhealthy as error:
        sys.exit(f"supervisor: the baseline cannot be served: {error}")


if __name__ == "__main__":
    main()
