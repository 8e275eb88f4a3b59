"""`python -m selfbuild.embedded.alarms`: sets the alarm queue up where the settings point, such as the local AWS."""

import sys

from selfbuild.adapters.alarm_queue import make_queue_client
from selfbuild.adapters.alarm_setup import ensure_alarm_queue
from selfbuild.adapters.aws import make_client
from selfbuild.domain.errors import SelfBuildError
from selfbuild.settings import Settings


def main() -> int:
    """Say on stdout what was created or changed. Exit status 7 when AWS refuses or cannot be reached."""
    try:
        settings = Settings.load()
        wiring = ensure_alarm_queue(
            make_queue_client(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url),
            make_client("events", region=settings.aws_region, endpoint_url=settings.aws_endpoint_url),
            queue_name=settings.alarm_queue_name,
            prefix=settings.cloudwatch_alarm_prefix,
        )
    except SelfBuildError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 7
    sys.stdout.write("\n".join((wiring.queue_url, *wiring.changed)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
