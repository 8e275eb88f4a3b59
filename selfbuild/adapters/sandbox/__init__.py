"""Runs untrusted code isolated from this machine: namespaces through bubblewrap, else Landlock, else nothing at all.

`find_sandbox` picks what works here. A machine without either runs generated code only where that was allowed
explicitly.
"""

from selfbuild.adapters.sandbox.bubblewrap import BubblewrapSandbox
from selfbuild.adapters.sandbox.choice import Level, NoSandbox, find_sandbox
from selfbuild.adapters.sandbox.landlock import LandlockSandbox
from selfbuild.adapters.sandbox.local import UnsafeLocalSandbox

__all__ = ["BubblewrapSandbox", "LandlockSandbox", "Level", "NoSandbox", "UnsafeLocalSandbox", "find_sandbox"]
