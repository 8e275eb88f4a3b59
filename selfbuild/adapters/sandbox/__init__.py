"""Runs untrusted code isolated from this machine: Linux namespaces through bubblewrap, or nothing at all.

`find_sandbox` picks what works here. A machine without it runs generated code only where that was allowed explicitly.
"""

from selfbuild.adapters.sandbox.bubblewrap import BubblewrapSandbox
from selfbuild.adapters.sandbox.choice import NoSandbox, find_sandbox
from selfbuild.adapters.sandbox.local import UnsafeLocalSandbox

__all__ = ["BubblewrapSandbox", "NoSandbox", "UnsafeLocalSandbox", "find_sandbox"]
