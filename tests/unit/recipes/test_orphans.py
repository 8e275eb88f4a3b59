"""Imports that only the replaced code used go with it; all others stay."""

import pytest

from selfbuild.recipes.base import RecipePatch
from selfbuild.recipes.blocking_in_async import BlockingInAsync
from tests.unit.recipes.requests import PATH, a_request


def patched(source: str) -> str:
    outcome = BlockingInAsync().apply(source, path=PATH, request=a_request(source))
    assert isinstance(outcome, RecipePatch), outcome
    return outcome.source


ASLEEP = "\n\nasync def orders():\n    {call}(1)\n"


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("import time\n", "time.sleep"),
        ("import time as clock\n", "clock.sleep"),
        ("from time import sleep\n", "sleep"),
        ("from time import sleep as pause\n", "pause"),
    ],
)
def test_orphaned_import_goes(imports: str, call: str) -> None:
    changed = patched(imports + ASLEEP.format(call=call))

    assert "time" not in changed.replace("asyncio.sleep", "")
    assert "import asyncio" in changed


@pytest.mark.parametrize(
    "rest",
    [
        "\n\ndef now():\n    return time.time()\n",
        '\n\n__all__ = ["time"]\n',
        '\n\ndef age(at: "time.struct_time"): ...\n',
    ],
)
def test_import_that_is_used_elsewhere_stays(rest: str) -> None:
    assert "import time\n" in patched("import time\n" + ASLEEP.format(call="time.sleep") + rest)


def test_import_that_nothing_used_before_stays() -> None:
    assert "import json\n" in patched("import json\nimport time\n" + ASLEEP.format(call="time.sleep"))
