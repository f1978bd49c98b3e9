"""What the client is measured beside: packages of npm, installed for one run and never shipped."""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSIONS = {"thumbhash": "0.1.1", "onnxruntime-web": "1.30.0"}
FILES = {
    "thumbhash": ("thumbhash.js",),
    "onnxruntime-web": (
        "dist/ort.wasm.bundle.min.mjs",
        "dist/ort-wasm-simd-threaded.wasm",
    ),
}
"""By package, what a page loads of it."""

_PATIENCE_SECONDS = 300


class PeersError(Exception):
    """There are no peers to measure beside."""


def install(folder: Path) -> Path:
    """Install the pinned packages below ``folder``; returns where they lie.

    Raises `PeersError` without npm, or where it reaches no registry.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise PeersError("npm is not installed")
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
    command += ["--ignore-scripts", "--prefer-offline", "--silent"]
    command += [f"{name}@{version}" for name, version in VERSIONS.items()]
    try:
        subprocess.run(command, check=True, timeout=_PATIENCE_SECONDS)  # noqa: S603 - fixed words
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise PeersError(f"npm could not install them: {error}") from error
    return folder / "node_modules"


class _Kept(SimpleHTTPRequestHandler):
    """Files as a content delivery network has them: for pages of all hosts, kept for ever."""

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012 - as the class it comes from declares it
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Cache-Control", "public, max-age=31536000, immutable")
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files below ``folder`` on loopback until the block ends; yields where they are."""
    handler = functools.partial(_Kept, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
