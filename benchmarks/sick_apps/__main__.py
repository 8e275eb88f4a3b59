"""`python -m benchmarks.sick_apps`: the whole loop over sick and healthy services, unattended, and the figures."""

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from benchmarks.machine import describe
from benchmarks.sick_apps.catalogue import SickApp, read_apps
from benchmarks.sick_apps.result import Result
from benchmarks.sick_apps.run import Run
from benchmarks.sick_apps.stack import SickStack, sick_stack
from benchmarks.sick_apps.tables import by_kind, reasons, rows, summary
from selfbuild.embedded.stack import REPOSITORY_ROOT, new_api_key

STATE = REPOSITORY_ROOT / ".selfbuild" / "sick_apps"


def chosen(names: str | None) -> tuple[SickApp, ...]:
    """The services to run; all without names. Raises SystemExit for an unknown one."""
    apps = read_apps()
    if names is None:
        return apps
    wanted = names.split(",")
    unknown = sorted(set(wanted) - {app.name for app in apps} - {app.kind for app in apps})
    if unknown:
        raise SystemExit(f"no such service or kind: {', '.join(unknown)}; there are {', '.join(a.name for a in apps)}")
    return tuple(app for app in apps if app.name in wanted or app.kind in wanted)


def run_one(stack: SickStack, app: SickApp, key: str, reports: Path) -> Result | None:
    """One service; None where the harness itself failed, with the reason on stderr."""
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx2.Client(base_url=stack.api_url, headers=headers, timeout=60) as client:
            result, cycle = Run(stack, app, client).whole()
    except (RuntimeError, ValueError, OSError, httpx2.HTTPError):
        print(f"{app.name}: could not be run\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return None
    (reports / f"{app.name}.json").write_text(json.dumps({"result": result.as_json(), "cycle": cycle}, indent=1))
    for line in reasons([result]):
        print(line, file=sys.stderr, flush=True)
    return result


def run_all(apps: Sequence[SickApp], *, parallel: int, state: Path, settings: dict[str, str]) -> list[Result]:
    """All of them, so many at a time, on one stack."""
    shutil.rmtree(state, ignore_errors=True)
    reports = state / "reports"
    reports.mkdir(parents=True)
    key = new_api_key()
    stack = sick_stack(state, key, apps, settings)
    with stack, ThreadPoolExecutor(parallel) as pool:
        results = list(pool.map(lambda app: run_one(stack, app, key, reports), apps))
    return [each for each in results if each is not None]


def main() -> int:
    """Print the tables and write the figures; 1 where something was made worse or a healthy service touched."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sick_apps", description=__doc__)
    parser.add_argument("--apps", help="names or kinds, separated by commas; default: all")
    parser.add_argument("--parallel", type=int, default=2, help="services at a time (%(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file of the figures; default: figures.json of the state")
    parser.add_argument("--state", type=Path, default=STATE, help="folder that is made anew (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the agent")
    options = parser.parse_args()
    apps = chosen(options.apps)
    settings = dict(each.split("=", 1) for each in options.set)
    results = run_all(apps, parallel=options.parallel, state=options.state, settings=settings)
    counts = summary(results)
    figures = {"machine": describe(), "summary": counts, "results": [each.as_json() for each in results]}
    (options.output or options.state / "figures.json").write_text(json.dumps(figures, indent=1))
    print(describe())
    for line in (*rows(results), "", *reasons(results), "", *by_kind(results), ""):
        print(line)
    print("  ".join(f"{name} {count}" for name, count in counts.items()))
    return 1 if len(results) < len(apps) or counts["made_worse"] or counts["healthy_touched"] else 0


if __name__ == "__main__":
    sys.exit(main())
