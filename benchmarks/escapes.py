"""What escape programs reach: in bubblewrap, in landlock, and as a plain process of another user.

    python -m benchmarks.escapes [--verbose]

The programs are those of tests/escapes and, where they are, of $SELFBUILD_SHARED_DATA/escape.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.machine import describe
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.adapters.sandbox.environment import NOBODY
from selfbuild.adapters.sandbox.staging import remove_tree
from tests.contract.escape_rig import LIMITS, OWN, SHARED, Outcome, attack_all, judge, programs, world

SYSTEM_PYTHON = "/usr/bin/python3"
"""One that any user can start."""


def plain(program: Path) -> Outcome:
    """The program as an ordinary process, of a user without rights where this one is root."""
    root = os.geteuid() == 0
    with world() as around, ExitStack() as stack:
        tree = Path(tempfile.mkdtemp(prefix="escape-plain-"))
        stack.callback(remove_tree, tree)
        for path in (program, *program.parent.glob("_*.py")):
            shutil.copyfile(path, tree / path.name)
        (tree / "cfg.json").write_text(json.dumps(around.settings()))
        for path in (tree, *tree.iterdir()):
            path.chmod(0o777)
        python = SYSTEM_PYTHON if root else sys.executable
        user = NOBODY if root else None
        try:
            done = subprocess.run(
                [python, program.name], cwd=tree, capture_output=True, timeout=LIMITS.wall_s, user=user, check=False,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            output, limit = done.stdout, None
        except subprocess.TimeoutExpired as error:
            output, limit = error.stdout or b"", "wall"
        return judge(program, output.decode("utf-8", "replace"), "", limit, around, 0.0)


def main() -> None:
    found = programs(OWN) + (programs(SHARED) if SHARED.is_dir() else [])
    columns: dict[str, dict[str, Outcome]] = {}
    for level in ("bubblewrap", "landlock"):
        sandbox = find_sandbox(level)
        if isinstance(sandbox, NoSandbox):
            print(f"{level}: not on this machine")
            continue
        columns[level] = {each.program: each for each in asyncio.run(attack_all(sandbox, found))}
    columns["plain"] = {path.stem: plain(path) for path in found}
    print(describe())
    print(f"{'program':26}" + "".join(f"{level:24}" for level in columns))
    for path in found:
        print(f"{path.stem:26}" + "".join(f"{column[path.stem].verdict:24}" for column in columns.values()))
        if "--verbose" in sys.argv:
            for level, column in columns.items():
                for line in column[path.stem].escapes:
                    print(f"    {level}: {line}")
    for level, column in columns.items():
        ran = sum(each.ran for each in column.values())
        contained = sum(each.ran and not each.escapes for each in column.values())
        print(f"{level}: {contained} of {len(column)} contained, {ran} ran")


if __name__ == "__main__":
    main()
