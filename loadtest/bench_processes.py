"""What a second process behind the same port brings, and how evenly connections spread.

``GET /thumb/{id}?bytes=64`` from one process and from several, in turns; the ratio is what travels.
Server, load generator and everything else share the machine's cores, so the ratio is a lower bound
of what the service alone could gain, and two hyper-threads of one core are not two cores.

``--sockets`` measures instead what `thumbstream.server.processes` rests on: of connections that
arrive at once, the share that the busier of two processes accepts, from a socket that both share
and from a socket for each (SO_REUSEPORT).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from loadtest.lib import servers, uploads
from loadtest.lib.load import GRID, Load, alternate

BYTES = 64
TIMES = 20
"""Bursts of connections, for each kind of socket."""

_ACCEPTOR = """
import socket, sys, asyncio, uvloop
class Named(asyncio.Protocol):
    def connection_made(self, transport): transport.write(sys.argv[2].encode())
async def main():
    listener = socket.socket(fileno=int(sys.argv[1]))
    server = await asyncio.get_running_loop().create_server(Named, sock=listener, backlog=2048)
    print(flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
uvloop.run(main())
"""
"""Answers every connection with its own name, on the server's event loop."""


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    args = _arguments().parse_args(argv)
    report = _sockets(args.connections) if args.sockets else _throughput(args)
    report["environment"] = {"cpus": os.cpu_count(), "connections": args.connections}
    print(json.dumps(report, indent=1))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _throughput(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"STORE": f"sqlite:///{folder / 'bench.db'}", "ENCODE_WORKERS": "1"}
        several = {**settings, "PROCESSES": str(args.processes)}
        with (
            servers.serving(servers.SERVICE, settings, "/readyz") as one,
            servers.serving(servers.SERVICE, several, "/readyz") as many,
        ):
            picture = uploads.synthetic(320, 240, 1)
            _, _, body = servers.request(one, "POST", f"/compress?size={GRID}", picture)
            path = f"/thumb/{json.loads(body)['id']}?bytes={BYTES}"
            load = Load(folder, args.connections, args.seconds)
            result = alternate(
                args.rounds, partial(load.get, many, path), partial(load.get, one, path)
            )
    return {"processes": args.processes, "load_generator": load.generator, **result}


def _sockets(connections: int) -> dict[str, Any]:
    return {
        kind: _shares(connections, own=kind == "a_socket_for_each")
        for kind in ("one_shared_socket", "a_socket_for_each")
    }


def _shares(connections: int, *, own: bool) -> dict[str, float]:
    first = _bound(0)
    port = first.getsockname()[1]
    second = _bound(port) if own else first
    acceptors = [_acceptor(listener, str(i)) for i, listener in enumerate((first, second))]
    try:
        shares = [asyncio.run(_burst(port, connections)) for _ in range(TIMES)]
    finally:
        for acceptor in acceptors:
            acceptor.communicate()
        first.close()
        second.close()
    return {"median": statistics.median(shares), "highest": max(shares)}


async def _burst(port: int, connections: int) -> float:
    async def name() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.readexactly(1)
        writer.close()
        return answer

    names = await asyncio.gather(*(name() for _ in range(connections)))
    return max(names.count(b"0"), names.count(b"1")) / connections


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _acceptor(listener: socket.socket, name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - the program above
        [sys.executable, "-c", _ACCEPTOR, str(listener.fileno()), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[listener.fileno()],
    )
    assert process.stdout is not None
    process.stdout.readline()  # it listens
    return process


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bench_processes.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sockets", action="store_true", help="measure how connections spread")
    parser.add_argument("--processes", type=int, default=2, help="beside one (default 2)")
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--connections", type=int, default=64, help="at once (default 64)")
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
