"""The gate as it runs: the pure guard, tools that read the patch as data on the host, the tests in the sandbox."""

from selfbuild.adapters.gate.runner import GateRunner

__all__ = ["GateRunner"]
