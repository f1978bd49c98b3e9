"""Drives Firefox and WebKitGTK: opens pages and evaluates scripts, nothing else.

Firefox speaks Marionette, JSON with a length in front of it; WebKitWebDriver speaks WebDriver.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_SECONDS = 90
SCRIPT_MS = 60_000
MINI_BROWSERS = (
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
)


class Driver(ABC):
    """One window of a browser."""

    @abstractmethod
    def send(self, command: str, path: str, parameters: dict[str, Any]) -> Any:
        """Send a command, by its name and by its path below the session; return its value."""

    def open(self, url: str) -> None:
        """Open a page, and return when its document is parsed."""
        self.send("WebDriver:Navigate", "url", {"url": url})

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of the page, or of its promise."""
        script = f"""const done = arguments[arguments.length - 1];
          Promise.resolve().then(() => {expression}).then(done, (error) => done(`${{error}}`));"""
        parameters = {"script": script, "args": []}
        return self.send("WebDriver:ExecuteAsyncScript", "execute/async", parameters)


class Firefox(Driver):
    """Firefox with Marionette on a free port."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._socket = socket.create_connection(
                    ("127.0.0.1", port), timeout=SCRIPT_MS / 500
                )
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "Firefox did not start"
                time.sleep(0.2)
        self._file = self._socket.makefile("rb")
        self._count = 0
        self._receive()
        self.send("WebDriver:NewSession", "", {"pageLoadStrategy": "eager"})
        self.send("WebDriver:SetTimeouts", "", {"script": SCRIPT_MS, "pageLoad": SCRIPT_MS})

    def send(self, command: str, path: str, parameters: dict[str, Any]) -> Any:
        """Send a Marionette command."""
        self._count += 1
        body = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(body), body))
        _, _, error, result = self._receive()
        assert error is None, error
        return result.get("value") if isinstance(result, dict) else result

    def _receive(self) -> Any:
        length = b""
        while (letter := self._file.read(1)) != b":":
            length += letter
        return json.loads(self._file.read(int(length)))


class WebKit(Driver):
    """WebKitGTK's MiniBrowser through WebKitWebDriver."""

    def __init__(self, port: int, binary: str) -> None:
        self._base = f"http://127.0.0.1:{port}/session"
        options = {"binary": binary, "args": ["--automation"]}
        capabilities = {
            "alwaysMatch": {"webkitgtk:browserOptions": options, "pageLoadStrategy": "eager"}
        }
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                found = self._post(self._base, {"capabilities": capabilities})
                break
            except ConnectionError:
                assert time.monotonic() < deadline, "WebKitWebDriver did not start"
                time.sleep(0.2)
            except urllib.error.URLError as error:
                if isinstance(error, urllib.error.HTTPError):
                    raise AssertionError(error.read().decode()) from error
                assert time.monotonic() < deadline, "WebKitWebDriver did not start"
                time.sleep(0.2)
        self._base += f"/{found['sessionId']}"
        self.send("", "timeouts", {"script": SCRIPT_MS, "pageLoad": SCRIPT_MS})

    def send(self, command: str, path: str, parameters: dict[str, Any]) -> Any:
        """Send a WebDriver command."""
        return self._post(f"{self._base}/{path}", parameters)

    def _post(self, url: str, parameters: dict[str, Any]) -> Any:
        request = urllib.request.Request(url, json.dumps(parameters).encode())
        with urllib.request.urlopen(request, timeout=SCRIPT_MS / 500) as response:
            return json.load(response)["value"]


@contextmanager
def firefox(folder: Path) -> Iterator[Driver | None]:
    """A headless Firefox with a profile in ``folder``; None if it is not installed."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        yield None
        return
    port = _free_port()
    (folder / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
    command = [path, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with _running(command, folder):
        yield Firefox(port)


@contextmanager
def webkit(folder: Path) -> Iterator[Driver | None]:
    """A WebKitGTK on a virtual screen; None if it is not installed."""
    binary = next(filter(shutil.which, MINI_BROWSERS), None)
    if not (binary and shutil.which("WebKitWebDriver") and shutil.which("xvfb-run")):
        yield None
        return
    port = _free_port()
    command = ["xvfb-run", "-a", "WebKitWebDriver", f"--port={port}"]
    with _running(command, folder):
        yield WebKit(port, binary)


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "browser.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        # xvfb-run leaves its display and its command behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
