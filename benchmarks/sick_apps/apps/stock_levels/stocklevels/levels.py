import logging
import os
import urllib.request

WAREHOUSE = os.environ.get("UPSTREAM_URL", "http://127.0.0.1:9")
log = logging.getLogger(__name__)


def ask(shelf):
    with urllib.request.urlopen(f"{WAREHOUSE}/shelf/{shelf}") as answer:
        return int(answer.read())


def level(shelf):
    """Pieces on the shelf; None where the warehouse cannot say."""
    try:
        return ask(shelf)
    except OSError as error:
        log.warning("shelf %s: %s", shelf, error)
        return None
