#!/usr/bin/env python3
"""Exit status 0 if the service on this machine answers ``/healthz``, else 1.

``/healthz`` depends on nothing but the process: a store that is slow must not restart it.
"""

import os
import sys
import urllib.request

SECONDS = 2


def main() -> int:
    """Send one request and return the exit status."""
    root = os.environ.get("THUMBSTREAM_ROOT_PATH", "").rstrip("/")
    port = os.environ.get("THUMBSTREAM_PORT", "8000")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{root}/healthz", timeout=SECONDS):
            return 0
    except OSError as error:
        print(f"healthcheck: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
