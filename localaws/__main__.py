"""Command line of the embedded AWS: `python -m localaws --port 4566 --host 127.0.0.1`."""

import argparse
import signal
import sys
import threading

from localaws.server import LocalAws


def main() -> int:
    """Serves until SIGTERM or SIGINT; the only line on stdout says that it is ready."""
    parser = argparse.ArgumentParser(prog="python -m localaws", description="The embedded AWS.")
    parser.add_argument("--port", type=int, default=4566, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    aws = LocalAws(host=options.host, port=options.port)
    try:
        aws.start()
    except OSError as error:
        print(f"localaws cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"localaws ready {aws.endpoint_url}", flush=True)
    stopped.wait()
    aws.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
