"""A real sandbox, and small applications in two versions."""

import pytest

from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.ports import Sandbox


@pytest.fixture(scope="package")
def real() -> Sandbox:
    sandbox = find_sandbox()
    if isinstance(sandbox, NoSandbox):
        pytest.skip("no sandbox works on this machine")
    return sandbox
