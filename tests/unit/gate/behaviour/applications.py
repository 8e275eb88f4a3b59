"""Writes an application of one file in two versions."""

import sys
from pathlib import Path

from selfbuild.adapters.gate.behaviour.versions import Versions

PATH = "shop/rules.py"
COMMAND = ("python", "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:hypothesispytest")


def versions(folder: Path, old: str, new: str, tests: str = "") -> Versions:
    """Base and patched trees; `tests` is the text of the application's only test file."""
    for name, text in (("base", old), ("patched", new)):
        files = {
            "shop/__init__.py": "",
            PATH: text,
            "tests/test_rules.py": tests,
            "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\ntestpaths = ["tests"]\n',
        }
        for path, content in files.items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_text(content)
    return Versions(folder / "base", folder / "patched", {PATH: old}, {PATH: new}, sys.executable, COMMAND)
