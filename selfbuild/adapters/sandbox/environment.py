"""What a command finds in its environment at every level."""

import os
from collections.abc import Sequence

NOBODY = 65534
"""User that generated code runs as where the worker is root."""


def base_environment(folders: Sequence[str]) -> dict[str, str]:
    """What a command finds in its environment: nothing of this process's own."""
    return {
        "PATH": os.pathsep.join(folders),
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
    }
