"""`python -m api`: serve by the settings. Exit status 2 for a wrong setting."""

import sys

from api.app import serve
from selfbuild.domain.errors import Misconfigured
from selfbuild.leave import leave
from selfbuild.settings import Settings


def main() -> int:
    """Read the settings and serve."""
    try:
        serve(Settings.load())
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    leave(main())
