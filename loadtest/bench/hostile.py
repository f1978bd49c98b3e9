"""Cost of hostile requests, and what they do to the reads of others.

    python -m loadtest.bench.hostile --out loadtest/results/hostile.json
    python -m loadtest.bench.hostile --before ../old-checkout --out loadtest/results/hostile.json

Starts the service, sends each attack of `loadtest.lib.attacks` once, and meanwhile reads a stream
and /healthz. Reports for each attack the status, seconds until the answer, processor seconds of the
service (reads included), its greatest memory, and the 99th percentile of the reads. ``--before``
measures an older checkout of the service and adds it to the results.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from loadtest.lib import attacks, servers, uploads

SECONDS = 30.0
"""Longest time for the answer to one attack."""
READ_PAUSE = 0.005

Row = dict[str, Any]


class Processes:
    """A process and its descendants, as the kernel counts them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def descendants(self, *, itself: bool = True) -> list[int]:
        """Ids of the running processes, ``itself`` first."""
        found, pending = [], [self._pid]
        while pending:
            pid = pending.pop()
            found.append(pid)
            with suppress(OSError, ValueError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pending += map(int, (task / "children").read_text().split())
        return found if itself else found[1:]

    def cpu_seconds(self, *, itself: bool = True) -> float:
        """Processor seconds; those of ended children count where a parent waited for them."""
        ticks = 0
        for pid in self.descendants(itself=itself):
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> list[int]:
        """Memory of each, with the pages that it shares, itself first."""
        sizes = []
        for pid in self.descendants():
            with suppress(OSError):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                sizes.append(pages * os.sysconf("SC_PAGESIZE"))
        return sizes


class Observer(threading.Thread):
    """Reads ``paths`` in turns, and samples memory, until `stop`."""

    def __init__(self, port: int, paths: list[str], processes: Processes) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self.peak_bytes = self.peak_worker_bytes = 0
        self._port, self._paths, self._processes = port, paths, processes
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read at once and until stopped, so that there is a read of every path."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        while True:
            for path in self._paths:
                begun = time.monotonic()
                try:
                    connection.request("GET", path)
                    response = connection.getresponse()
                    response.read()
                    self.statuses.add(response.status)
                except (OSError, http.client.HTTPException):
                    self.statuses.add(0)
                    connection.close()
                self.seconds.append(time.monotonic() - begun)
            sizes = self._processes.resident_bytes()
            self.peak_bytes = max(self.peak_bytes, sum(sizes))
            self.peak_worker_bytes = max([self.peak_worker_bytes, *sizes[1:]])
            if self._stopped.wait(READ_PAUSE):
                return

    def stop(self) -> None:
        """Stop and wait for the last read."""
        self._stopped.set()
        self.join()

    def p99_ms(self) -> float:
        """The 99th percentile of the reads so far, in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] if ordered else 0.0


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the results; returns the exit status."""
    args = _arguments().parse_args(argv)
    checkout = args.before or Path(__file__).resolve().parents[2]
    rows = measure(checkout)
    for row in rows:
        print(
            f"{row['name']:36} {row['bytes']:>9,} B  {row['status']:>3}  {row['seconds']:6.2f} s  "
            f"cpu {row['cpu_seconds']:6.2f} s  {row['memory_mib'] or 0:6.0f} MiB  "
            f"p99 {row['read_p99_ms'] or 0:6.1f} ms"
        )
    if args.out:
        report = json.loads(args.out.read_text()) if args.out.exists() else {}
        report["before" if args.before else "now"] = rows
        report["environment"] = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        }
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(checkout: Path) -> list[Row]:
    """Results of every attack on the service of a checkout, which is restarted after no answer."""
    rows: list[Row] = []
    pending: list[tuple[str, attacks.Attack | bytes]] = [(a.name, a) for a in attacks.uploads()]
    pending += list(attacks.raw())
    with tempfile.TemporaryDirectory() as folder:
        while pending:
            port = servers.free_port()
            variables = servers.environment(port, {"STORE": f"sqlite:///{folder}/streams.db"})
            paths = [str(checkout / "service"), str(checkout / "models")]
            variables["PYTHONPATH"] = os.pathsep.join(paths)
            command = [sys.executable, "-m", "thumbstream", "serve"]
            with servers.started(command, variables, port, "/readyz") as process:
                for seed in range(4):
                    picture = uploads.synthetic(1200, 900, seed)
                    _, _, body = servers.request(port, "POST", "/compress", picture)
                url = json.loads(body)["url"]
                while pending:
                    name, attack = pending.pop(0)
                    rows.append(_one(port, Processes(process.pid), url, name, attack))
                    if rows[-1]["status"] in (0, 503):
                        break  # its worker may be busy for minutes
    return rows


def _one(
    port: int, processes: Processes, url: str, name: str, attack: attacks.Attack | bytes
) -> Row:
    observer = Observer(port, ["/healthz", url], processes)
    cpu = processes.cpu_seconds()
    observer.start()
    begun = time.monotonic()
    if isinstance(attack, bytes):
        status, length = send(port, attack), len(attack)
    else:
        status, length = upload(port, attack)[0], len(attack.file)
    seconds = time.monotonic() - begun
    observer.stop()
    return {
        "name": name,
        "bytes": length,
        "status": status,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(processes.cpu_seconds() - cpu, 2),
        "memory_mib": round(observer.peak_bytes / 2**20) or None,  # None: over before a sample
        "read_p99_ms": round(observer.p99_ms(), 1) or None,
    }


def upload(port: int, attack: attacks.Attack, *, seconds: float = SECONDS) -> tuple[int, bytes]:
    """Send an attack's file; returns status and body, or 0 if none came in ``seconds``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", f"/compress?{attack.query}", attack.file)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def send(port: int, data: bytes) -> int:
    """Send ``data`` on a connection; returns the status of the last response, 0 without any."""
    status = 0
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        with suppress(OSError):
            connection.sendall(data)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 20):
                if b"HTTP/1.1 " in part:
                    status = int(part.rpartition(b"HTTP/1.1 ")[2][:3])
    return status


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.hostile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--before", type=Path, help="measure this older checkout instead")
    parser.add_argument("--out", type=Path, help="write or add to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
