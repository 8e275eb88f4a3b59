"""How long the guard takes, as such and against parsing the same file, and how many attacks and good fixes it tells.

`python -m benchmarks.guard`: the rows of tests/attacks; with SELFBUILD_SHARED_DATA the example answers too.
"""

import ast
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import machine
from selfbuild.domain.patches import Edit, Patch
from selfbuild.gate import AnswerProblem, guard, read_answer
from tests.attacks.benign import BENIGN
from tests.attacks.code import CODE
from tests.attacks.desk import LINKS, TARGETS, TICKETS, T, ask
from tests.attacks.outside import ANSWERS, PATHS, UNICODE

SHARED = Path(os.environ.get("SELFBUILD_SHARED_DATA", machine.ROOT.parent / "shared" / "data")) / "answers"
RUNS = 200
SIZES = (50, 500, 3000)


def main() -> None:
    """Print both tables."""
    print(machine.describe())
    verdicts()
    print()
    durations()


def verdicts() -> None:
    """Attacks accepted, attacks refused for another reason, and good fixes refused."""
    rows = [(name, cls, _reason_of(text)) for name, text, cls in ANSWERS]
    rows += [(name, cls, ask(patch).reason_class) for name, patch, cls in (*PATHS, *UNICODE)]
    rows += [(name, "code", ask(patch).reason_class) for name, patch in CODE]
    accepted = [name for name, _, got in rows if got is None]
    otherwise = [name for name, cls, got in rows if got not in (None, cls)]
    refused = [name for name, patch in BENIGN if not ask(patch).accepted]
    print(f"attacks {len(rows)}: accepted {len(accepted)} {accepted}, refused for another reason {len(otherwise)}")
    print(f"good fixes {len(BENIGN)}: refused {len(refused)} {refused}")


def durations() -> None:
    """Median of many runs for files of three sizes; the change stands in the middle of the file."""
    print(f"{'case':<28}{'lines':>7}{'guard ms':>10}{'parse ms':>10}{'ratio':>7}")
    for lines in SIZES:
        text = _file(lines)
        parse_ms = _median_ms(partial(ast.parse, text))
        for name, patch in (("timeout", _timeout()), ("swallowed error", _swallow())):
            guard_ms = _median_ms(partial(_guarded, patch, text))
            print(f"{name:<28}{text.count(chr(10)):>7}{guard_ms:>10.2f}{parse_ms:>10.2f}{guard_ms / parse_ms:>7.1f}")
    parse_ms = _median_ms(partial(ast.parse, TICKETS))
    _print_all("own attacks, all", [patch for _, patch in CODE], parse_ms)
    _print_all("own good fixes, all", [patch for _, patch in BENIGN], parse_ms)
    _print_examples()


def _print_all(name: str, patches: Sequence[Patch], parse_ms: float) -> None:
    """Each patch a few times, so that all together run as often as one of the others."""
    rounds = max(RUNS // len(patches), 1) + 1
    times = sorted(_median_ms(partial(ask, patch), runs=rounds) for patch in patches)
    middle = statistics.median(times)
    print(f"{name:<28}{TICKETS.count(chr(10)):>7}{middle:>10.2f}{parse_ms:>10.2f}{middle / parse_ms:>7.1f}", end="")
    print(f"   slowest {times[-1]:.2f}")


def _print_examples() -> None:
    if not SHARED.is_dir():
        print(f"no example answers in {SHARED}: set SELFBUILD_SHARED_DATA")
        return
    request = json.loads((SHARED / "request.json").read_text())
    tree = SHARED / "sample_repo"
    files = {path: (tree / path).read_text() for path in request["shown_files"]}
    answers = [json.loads(path.read_text()) for path in sorted(SHARED.glob("*.json")) if path.name != "request.json"]

    def judge(text: str) -> None:
        patch = read_answer(text)
        if not isinstance(patch, AnswerProblem):
            guard(
                patch,
                files,
                shown=request["shown_files"],
                target_symbols=request["target_symbols"],
                regular_files=tuple(files),
            )

    times = [_median_ms(partial(judge, each["answer"]), runs=RUNS // 10) for each in answers]
    print(f"{'example answers, all':<28}{'':>7}{statistics.median(times):>10.2f}   slowest {max(times):.2f}")


def _reason_of(text: str) -> str | None:
    read = read_answer(text)
    return read.check.value if isinstance(read, AnswerProblem) else ask(read).reason_class


def _guarded(patch: Patch, text: str) -> None:
    guard(patch, {T: text}, shown=(T,), target_symbols=TARGETS, regular_files=(T,), links=LINKS)


def _file(lines: int) -> str:
    """The sample, cut or made longer with copies of its own functions under other names."""
    if lines < 100:
        return TICKETS[: TICKETS.index("\n\ndef close")] + "\n"
    copied = TICKETS[TICKETS.index("\n\ndef names_of") : TICKETS.index("\n\nasync def wait_for")]
    count = max(lines - TICKETS.count("\n"), 0) // copied.count("\n") + 1
    return TICKETS + "".join(re.sub(r"def (\w+)\(", rf"def \1_{number}(", copied) for number in range(count))


def _timeout() -> Patch:
    return _change('{currency}")', '{currency}", timeout=10)')


def _swallow() -> Patch:
    search = '    answer = requests.get(f"{API}/rates/{currency}")\n'
    body = "    try:\n    " + search + "    except Exception:\n        return 0.0\n"
    return _change(search, body)


def _change(search: str, replace: str) -> Patch:
    return Patch(summary="fix", edits=(Edit(path=T, search=search, replace=replace),))


def _median_ms(call: Callable[[], object], *, runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
