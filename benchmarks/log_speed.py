"""JSON log lines per second, parsed and grouped, with the peak memory of each contender in a process of its own.

python -m benchmarks.log_speed [--lines 10000 100000 1000000] [--repeats 3]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import ROOT, describe
from selfbuild.adapters.log_scan import scan_groups
from selfbuild.analysis.log_groups import LogGrouper

SEED = 20
WORDS = [
    "order", "invoice", "session", "basket", "payment", "parcel", "coupon", "ticket", "report", "profile",
    "stored", "rejected", "loaded", "retried", "queued", "expired", "charged", "refunded", "shipped", "merged",
    "cache", "index", "lease", "shard", "token", "batch", "window", "cursor", "snapshot", "worker",
]  # fmt: skip
VALUES = (
    "k_{hex}",
    "{number}",
    "10.{small}.{small}.7",
    "{uuid}",
    "/v1/items/{number}/detail",
    "{ms} ms",
    "id={number}",
)
STATEMENTS = 300
ERRORS = ("builtins.KeyError", "builtins.TimeoutError", "app.StockError")


def statements() -> list[str]:
    """Sentences of four words and three values, no two of which share more than a few words."""
    draw = random.Random(SEED)
    return [
        " ".join(part for word in draw.sample(WORDS, 4) for part in (word, draw.choice(VALUES)))[:-1].rpartition(" ")[0]
        for _ in range(STATEMENTS)
    ]


def a_message(draw: random.Random, statement: str) -> str:
    return statement.format(
        hex=f"{draw.getrandbits(40):x}",
        number=draw.randrange(100_000),
        small=draw.randrange(256),
        ms=round(draw.random() * 500, 2),
        uuid=f"{draw.getrandbits(32):08x}-0000-4000-8000-{draw.getrandbits(48):012x}",
    )


def generate(path: Path, count: int) -> None:
    """Write CloudWatch-like lines of about 280 bytes."""
    draw, known = random.Random(SEED), statements()
    with path.open("w") as out:
        for number in range(count):
            failed = draw.random() < 0.04
            line: dict[str, object] = {
                "level": "ERROR" if failed else "INFO",
                "location": f"handler:{draw.randrange(400)}",
                "message": a_message(draw, draw.choice(known)),
                "timestamp": f"2026-11-23T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.123Z",
                "component": f"component-{draw.randrange(8)}",
                "tenant_id": f"tenant-{draw.randrange(20)}",
                "function_request_id": f"{draw.getrandbits(128):032x}",
            }
            if failed:
                line["error"] = {"type": draw.choice(ERRORS)}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


def orjson_only(path: Path) -> int:
    import orjson

    with path.open("rb") as lines:
        return len(Counter(orjson.loads(line)["level"] for line in lines))


def drain3_per_line(path: Path) -> int:
    import orjson
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    miner = TemplateMiner(config=TemplateMinerConfig())
    with path.open("rb") as lines:
        for line in lines:
            miner.add_log_message(orjson.loads(line)["message"])
    return len(miner.drain.clusters)


def grouper_per_line(path: Path) -> int:
    import orjson

    grouper = LogGrouper()
    with path.open("rb") as lines:
        ids = {grouper.group(orjson.loads(line)["message"]).group_id for line in lines}
    return len({grouper.current_id(group_id) for group_id in ids})


def columnar_scan(path: Path) -> int:
    return len({group.group_id for group in scan_groups([path])})


CONTENDERS: dict[str, Callable[[Path], int]] = {
    "columnar scan_groups": columnar_scan,
    "LogGrouper per line": grouper_per_line,
    "drain3-improved per line": drain3_per_line,
    "orjson.loads per line": orjson_only,
}


def measure(name: str, path: Path) -> None:
    """In a process of its own: seconds, CPU seconds, groups, peak memory in KiB."""
    start, cpu = time.perf_counter(), time.process_time()
    groups = CONTENDERS[name](path)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([seconds, cpu_seconds, groups, peak]))


def compare(counts: list[int], repeats: int) -> None:
    print(describe())
    print(f"best of {repeats}, each in a process of its own; the file is cached")
    print(f"{'contender':<26}{'lines':>10}{'lines/s':>12}{'CPU us/line':>13}{'groups':>8}{'peak RSS MiB':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"{count}.jsonl"
            generate(path, count)
            for name in CONTENDERS:
                runs = [_run(name, path) for _ in range(repeats)]
                seconds, cpu, groups, peak = min(runs)
                row = f"{name:<26}{count:>10,}{count / seconds:>12,.0f}{cpu / count * 1e6:>13.2f}{groups:>8}"
                print(f"{row}{peak / 1024:>14.0f}", flush=True)
            print(f"{'':<26}{path.stat().st_size / count:.0f} bytes a line")


def _run(name: str, path: Path) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.log_speed", "--contender", name, "--file", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: list[float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        measure(arguments.contender, arguments.file)
    else:
        compare(arguments.lines, arguments.repeats)


if __name__ == "__main__":
    main()
