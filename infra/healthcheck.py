"""`python -m infra.healthcheck URL`: exit 0 when it answers 200. The image has no curl."""

import sys
import urllib.request

if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=2) as answer:
        sys.exit(answer.status != 200)
