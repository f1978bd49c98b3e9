"""What limits and signatures cost on the hot path, as ratios of processor time for a request.

- ``GET /thumb/{id}?bytes=64`` on the service as it is, against the same service on uvicorn's own
  HTTP protocol, which bounds neither header fields nor slow clients;
- the same read with a signature, on a service that asks for one, against one that asks for none.

Processor time is that of the service's process, from its own /metrics: busy neighbours change it
less than they change requests a second. Rounds alternate; the medians are compared.

Run: ``python -m loadtest.bench.bounds``.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from loadtest.bench.http import BYTES
from loadtest.lib import servers, uploads
from loadtest.lib.load import GRID, Load
from thumbstream.http.signing import SigningKeys

KEY = "a key that is used for nothing else"
UNGUARDED = (
    "-c",
    "from thumbstream import server; from thumbstream.server.app import create_app; "
    "from thumbstream.settings import load_settings; settings = load_settings(); "
    "app = create_app(settings); "
    "raise SystemExit(not server.run(app, settings, on_drain=app.services.drain))",
)


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser("python -m loadtest.bench.bounds", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive (default 64)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = Load(folder, args.connections, args.seconds)
        store = {"STORE": f"sqlite:///{folder / 'bench.db'}"}
        with servers.serving(servers.SERVICE, store, "/readyz") as plain:
            picture = uploads.synthetic(320, 240, 0)
            _, _, body = servers.request(plain, "POST", f"/compress?size={GRID}", picture)
            path = f"/thumb/{json.loads(body)['id']}?bytes={BYTES}"
            signed_path = SigningKeys([KEY]).sign(path, int(time.time()) + 86400)
            as_it_is = partial(_cost, load, plain, path)
            with servers.serving(UNGUARDED, store, "/readyz") as unguarded:
                bare = partial(_cost, load, unguarded, path)
                limits = _ratio(args.rounds, as_it_is, bare)
            keys = store | {"READ_KEYS": KEY}
            with servers.serving(servers.SERVICE, keys, "/readyz") as closed:
                signed = _ratio(args.rounds, partial(_cost, load, closed, signed_path), as_it_is)
    print(f"processor time with limits / without: {limits:.2f}")
    print(f"processor time signed / open: {signed:.2f}")
    return 0


def _ratio(rounds: int, first: Callable[[], float], second: Callable[[], float]) -> float:
    pairs = [(first(), second()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs) / median(pair[1] for pair in pairs)


def _cost(load: Load, port: int, path: str) -> float:
    """Seconds of the service's processor time for one request, of very many."""
    before = _processor_seconds(port)
    requests: int = load.get(port, path)["requests"]
    return (_processor_seconds(port) - before) / requests


def _processor_seconds(port: int) -> float:
    _, _, page = servers.request(port, "GET", "/metrics")
    found = re.search(rb"^process_cpu_seconds_total (\S+)$", page, re.MULTILINE)
    assert found is not None
    return float(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
