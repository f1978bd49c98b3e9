"""Several processes behind one port: a parent that starts, watches and replaces them.

A child is this same command, started again with one more variable in its environment: a fresh
interpreter, so that neither ONNX Runtime nor CUDA ever lives through a fork. It gets two file
descriptors:

- a socket of its own on the common address (SO_REUSEPORT): the kernel spreads connections evenly,
  and when a process dies, the next connection goes to one that lives;
- a lifeline to the parent. The child sends a byte over it every second from its event loop: the
  first says that it serves, and silence that it hangs. When the parent dies the line closes, and
  the child stops by itself, draining first.

A child that dies is replaced at once, and after a wait that grows if it dies again before it
served. Only what fails before the service has ever been up ends the parent. Signals are passed on;
each child drains as a single process does (`server`). Why not uvicorn's own supervisor: ADR 18.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from thumbstream.errors import ThumbstreamError

log = logging.getLogger(__name__)

CHILD = "_THUMBSTREAM_CHILD"
"""``index:listener:lifeline``, the latter two file descriptors. Not a setting: no other prefix."""
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client lets processes count together."""

BEAT_SECONDS = 1.0
HUNG_SECONDS = 60.0
"""Silence on the lifeline after which a child is killed: no turn of an event loop takes as long."""
LONGEST_WAIT_SECONDS = 10.0
"""Between two attempts to start a child that dies before it serves."""
MARGIN_SECONDS = 10.0
"""Beyond what a stop may take, before what is left is killed."""
_TICK_SECONDS = 0.1


class ProcessesError(ThumbstreamError):
    """Several processes cannot be had on this system, or not on this address."""


@dataclass(frozen=True, slots=True)
class Child:
    """What a child knows of itself."""

    index: int
    """Its place among its siblings, from 0; a child that replaces another one takes its place."""
    listener: socket.socket
    lifeline: socket.socket

    @classmethod
    def of_this_process(cls) -> Child | None:
        """None in a process that no `Supervisor` started."""
        told = os.environ.pop(CHILD, None)
        if told is None:
            return None
        index, listener, lifeline = map(int, told.split(":"))
        child = cls(index, socket.socket(fileno=listener), socket.socket(fileno=lifeline))
        threading.Thread(target=child._follow_parent, daemon=True).start()
        return child

    def beat(self) -> None:
        """Tells the parent that the event loop turns, now and then every second."""
        # Full, or closed: the parent is busy, or gone, which the thread notices.
        with suppress(OSError):
            self.lifeline.send(b".", socket.MSG_DONTWAIT)
        # While it stops as well, which may take longer than a child may be silent.
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self.beat)

    def _follow_parent(self) -> None:
        with suppress(OSError):
            while self.lifeline.recv(1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)


class _Place:
    """One place behind the port, and the child that has it."""

    def __init__(self, index: int, address: socket.socket, folder: str) -> None:
        self.index = index
        self._address = address
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self.serves = False
        self._heard_at = 0.0
        self._start_at = 0.0  # time.monotonic() before which no child is started here
        self._wait = 0.5  # seconds before the next start if this child dies before it serves

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self, now: float) -> None:
        """Starts a child unless there is one or it is too early."""
        if self._process is not None or now < self._start_at:
            return
        self._start_at = now + self._wait
        try:
            self._process, self._lifeline = self._spawn()
        except OSError as error:  # no memory, no process numbers, no descriptors: for now
            log.error("cannot start a process: %s", error)
            self._start_at = now + LONGEST_WAIT_SECONDS

    def _spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A child, and the parent's end of its lifeline."""
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            listener = _reuse_port(self._address.family, self._address.getsockname())
            with theirs, listener:
                told = f"{self.index}:{listener.fileno()}:{theirs.fileno()}"
                process = subprocess.Popen(  # noqa: S603 - the command that runs already
                    [sys.executable, *sys.orig_argv[1:]],
                    env={**os.environ, CHILD: told, METRICS_FOLDER: self._folder},
                    pass_fds=(listener.fileno(), theirs.fileno()),
                    # Ctrl-C reaches a terminal's whole group; here the parent passes it on.
                    process_group=0,
                )
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return process, ours

    def look(self, now: float) -> int | None:
        """The exit status of a child that has died since the last look, or None."""
        if self._process is None or self._lifeline is None:
            return None
        try:
            heard = self._lifeline.recv(4096)
        except OSError:  # nothing new
            heard = b""
        if heard:
            self._heard_at = now
            if not self.serves:
                self.serves = True
                self._wait = 0.5
        elif self.serves and now - self._heard_at > HUNG_SECONDS:
            log.error("process %d hangs: killed", self._process.pid)
            self._process.kill()
        status = self._process.poll()
        if status is None:
            return None
        log.log(
            logging.INFO if status == 0 else logging.ERROR,
            "process %d ended with status %d",
            self._process.pid,
            status,
        )
        self._lifeline.close()
        # Its gauges go; what it counted stays.
        mark_process_dead(self.index, self._folder)  # type: ignore[no-untyped-call]
        if self.serves:
            self._start_at = now
        else:
            self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)
        self._process, self._lifeline, self.serves = None, None, False
        return status

    def signal(self, number: int) -> None:
        """Passes a signal on."""
        if self._process is not None:
            self._process.send_signal(number)


class Supervisor:
    """The parent of ``count`` processes on one address; ``patience``: seconds that a stop takes."""

    def __init__(self, count: int, host: str, port: int, *, patience: float) -> None:
        self._count = count
        self._host = host
        self._port = port
        self._patience = patience + MARGIN_SECONDS
        self._signals: list[int] = []

    def run(self) -> bool:
        """Serves until a signal stops it; False when it could not start.

        Raises `ProcessesError` when the address is not to be had.
        """
        before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            with (
                _reserve(self._host, self._port) as address,
                tempfile.TemporaryDirectory(prefix="thumbstream-metrics-") as folder,
            ):
                places = [_Place(index, address, folder) for index in range(self._count)]
                return self._watch(places, address)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _watch(self, places: list[_Place], address: socket.socket) -> bool:
        up = failed = False  # ``up``: the service has been complete once
        kill_at: float | None = None  # set: it stops
        while True:
            now = time.monotonic()
            while self._signals:
                number = self._signals.pop(0)
                kill_at = kill_at or now + self._patience
                for place in places:
                    place.signal(number)
            if kill_at is None:
                # The first alone: it sets up the store, and an error is told once.
                for place in places if places[0].serves or up else places[:1]:
                    place.start(now)
            elif not any(place.alive for place in places):
                return up or not failed
            elif now > kill_at:
                for place in places:
                    place.signal(signal.SIGKILL)
            died = [place.look(now) is not None for place in places]
            if any(died) and not up and kill_at is None:
                failed = True
                self._signals.append(signal.SIGINT)
            if not up and all(place.serves for place in places):
                up = True
                announce(address.getsockname(), f"{self._count} processes")
            time.sleep(_TICK_SECONDS)


def announce(address: tuple[Any, ...], what: str) -> None:
    """Says where the service is; ``address`` as a socket tells it: port 0 is a number by now."""
    host, port = address[:2]
    name = f"[{host}]" if ":" in host else host
    log.info("%s: demo page http://%s:%d/ and API documentation /docs", what, name, port)


def _reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the address for all children, and takes no connection itself.

    Raises `ProcessesError`.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ProcessesError("this system has no SO_REUSEPORT: THUMBSTREAM_PROCESSES must be 1")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With SO_REUSEPORT, another service of the same user on this port would be no error.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
            address = probe.getsockname()
        return _reuse_port(family, address)
    except OSError as error:
        raise ProcessesError(f"cannot listen on {host} port {port}: {error}") from None


def _reuse_port(family: int, address: Any) -> socket.socket:
    """A bound socket that shares its address with others of its kind."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound
