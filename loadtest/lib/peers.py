"""Other image servers, beside which uploads are measured: thumbor and ipx.

Each reads JPEG files from a folder and answers a thumbnail of them, with caches and stores of
results off, in as many processes or threads as thumbstream encodes in. They are installed into a
folder of their own, from PyPI and npm, and are found there the next time: nothing of thumbstream
depends on them.
"""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.lib import servers

THUMBOR = "thumbor==7.8.0"
IPX = ("ipx@3.1.1", "sharp@0.34.5")
INSTALL_SECONDS = 600

_THUMBOR_CONF = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {folder!r}
STORAGE = "thumbor.storages.no_storage"
RESULT_STORAGE = None
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """An image server. A picture is a file ``<name>.jpg`` in the folder that it serves."""

    version: str
    program: Callable[[Path], Path]
    """Where it is, in the folder of all peers."""
    install: Callable[[Path], None]
    command: Callable[[Path, Path, int, int], list[str]]
    """Program, folder of pictures, port and threads to the command that serves them."""
    variables: Callable[[int], dict[str, str]]
    """Environment variables for a number of threads."""
    ready: str
    path: Callable[[str, int], str]
    """Name of a picture and long side of its thumbnail to the path of the request."""


def _install_thumbor(peers: Path) -> None:
    venv.create(peers / "thumbor", with_pip=True)
    python = str(peers / "thumbor" / "bin" / "python")
    _install([python, "-m", "pip", "install", "--quiet", THUMBOR], peers)


def _install_ipx(peers: Path) -> None:
    (peers / "ipx").mkdir(parents=True, exist_ok=True)
    _install(["npm", "install", "--silent", "--prefix", str(peers / "ipx"), *IPX], peers)


def _install(command: list[str], peers: Path) -> None:
    subprocess.run(command, cwd=peers, check=True, timeout=INSTALL_SECONDS)  # noqa: S603 - as above


def _thumbor(program: Path, folder: Path, port: int, threads: int) -> list[str]:
    conf = folder / "thumbor.conf"
    conf.write_text(_THUMBOR_CONF.format(folder=str(folder)), encoding="utf-8")
    where = ["--ip", "127.0.0.1", "--port", str(port), "--conf", str(conf)]
    return [str(program), *where, "--processes", str(threads), "--log-level", "critical"]


def _ipx(program: Path, folder: Path, port: int, _threads: int) -> list[str]:
    return [str(program), "serve", "--dir", str(folder), "--port", str(port), "--host", "127.0.0.1"]


PEERS = {
    "thumbor": Peer(
        THUMBOR,
        lambda peers: peers / "thumbor" / "bin" / "thumbor",
        _install_thumbor,
        _thumbor,
        lambda _threads: {},
        "/healthcheck",
        lambda name, side: f"/unsafe/fit-in/{side}x{side}/{name}.jpg",
    ),
    "ipx": Peer(
        " ".join(IPX),
        lambda peers: peers / "ipx" / "node_modules" / ".bin" / "ipx",
        _install_ipx,
        _ipx,
        # One process: libuv's threads work on as many pictures at a time, each in one of them.
        lambda threads: {"UV_THREADPOOL_SIZE": str(threads), "VIPS_CONCURRENCY": "1"},
        "/w_8/0.jpg",
        lambda name, side: f"/w_{side}/{name}.jpg",
    ),
}


def installed(peer: Peer, peers: Path) -> Path:
    """The program, installed first where it is not there; raises `CalledProcessError`."""
    program = peer.program(peers)
    if not program.exists():
        peers.mkdir(parents=True, exist_ok=True)
        peer.install(peers)
    return program


@contextmanager
def serving(
    peer: Peer, program: Path, files: list[bytes], threads: int
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a peer over ``files``, which are ``0.jpg`` and so on; yields process and port."""
    port = servers.free_port()
    with servers.folder_of(files) as folder:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        variables = {**kept, **peer.variables(threads)}
        command = peer.command(program, folder, port, threads)
        with servers.started(command, variables, port, peer.ready) as process:
            yield process, port
