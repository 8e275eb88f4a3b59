"""Programs that try to get out, at every level that isolates: each must prove that it ran, and none may succeed."""

import asyncio
from functools import lru_cache

import pytest

from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from tests.contract.escape_rig import Outcome, attack_all, known_machine, programs

pytestmark = pytest.mark.skipif(not known_machine(), reason="the programs know Linux on x86_64 and aarch64 only")


@lru_cache(maxsize=2)
def outcomes(level: str) -> dict[str, Outcome] | str:
    """All programs at one level, run once; else why not."""
    sandbox = find_sandbox("landlock" if level == "landlock" else "bubblewrap")
    if isinstance(sandbox, NoSandbox):
        return f"{level} does not work on this machine"
    return {each.program: each for each in asyncio.run(attack_all(sandbox, programs()))}


@pytest.mark.parametrize("level", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)])
@pytest.mark.parametrize("program", [path.stem for path in programs()])
def test_program_that_tries_to_get_out_ran_and_was_contained(program: str, level: str) -> None:
    found = outcomes(level)
    if isinstance(found, str):
        pytest.skip(found)
    outcome = found[program]

    assert outcome.ran, f"no proof that it ran: {outcome.detail}"
    assert outcome.escapes == ()
    assert outcome.blocked or outcome.limit, f"it tried nothing: {outcome.detail}"
