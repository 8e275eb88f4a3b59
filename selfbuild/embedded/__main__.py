"""`python -m selfbuild.embedded demo|up`: what `./run` calls."""

import argparse
import signal
import sys
from types import FrameType

from selfbuild.domain.errors import SelfBuildError
from selfbuild.embedded.demo import run_demo
from selfbuild.embedded.up import run_up
from selfbuild.leave import leave


def main() -> int:
    """Exit status 0 when all went as it should, 1 when not, 2 for a wrong command, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="./run")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="one whole cycle on the example application")
    demo.add_argument("--bad-patch", action="store_true", help="a patch that passes the gate and fails in production")
    demo.add_argument("--keep", action="store_true", help="go on serving after the report, until Ctrl-C")
    up = commands.add_parser("up", help="serve until Ctrl-C")
    up.add_argument("--aws-port", type=int, default=4566, help="of the local AWS (%(default)s)")
    up.add_argument("--application-port", type=int, default=8080, help="of the example application (%(default)s)")
    up.add_argument("--control-port", type=int, default=8081, help="of its supervisor (%(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job starts with SIGINT ignored
        signal.signal(number, _interrupt)
    try:
        if arguments.command == "demo":
            return run_demo(bad_patch=arguments.bad_patch, keep=arguments.keep)
        return run_up(aws=arguments.aws_port, application=arguments.application_port, control=arguments.control_port)
    except SelfBuildError as error:
        sys.stderr.write(f"./run: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    leave(main())
