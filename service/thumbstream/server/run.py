"""Runs uvicorn and shuts it down in three steps.

After SIGTERM: (1) for ``drain_seconds`` /readyz answers 503 while all requests are still served, so
that a load balancer can stop sending new ones; (2) the port closes, and requests in flight have
``shutdown_seconds`` to finish; (3) the workers and the store close. SIGINT (Ctrl-C) and a second
SIGTERM skip step 1; SIGINT after an earlier signal drops the requests in flight. The exit status is
0 in all these cases.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from thumbstream.settings import Settings

log = logging.getLogger(__name__)

RESERVED_FDS = 512
"""File descriptors for other uses than client connections: the store, the models, uvicorn."""


def run(
    app: ASGIApp,
    settings: Settings,
    *,
    on_drain: Callable[[], None],
    protocol: type[asyncio.Protocol] | None = None,
) -> bool:
    """Serves ``app`` until a signal stops the server, then returns True; False if it cannot start.

    ``on_drain`` is called from the signal handler at each signal that stops the server.
    ``protocol`` is the class that handles each connection; None: uvicorn's own, with few limits.
    """
    _raise_fd_limit(settings.max_connections + RESERVED_FDS)
    server = DrainingServer(_config(app, settings, protocol), settings.drain_seconds, on_drain)
    try:
        server.run()
    except SystemExit:  # raised by uvicorn when the lifespan or the port fails
        return False
    return server.started


def _raise_fd_limit(needed: int) -> None:
    """Raise the process's limit of open files to ``needed``, or to the highest permitted."""
    if sys.platform == "win32":  # Windows has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning(
            "the system permits %d open files; THUMBSTREAM_MAX_CONNECTIONS requires %d",
            allowed,
            needed,
        )


def _config(
    app: ASGIApp, settings: Settings, protocol: type[asyncio.Protocol] | None
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # "auto" for loop and http: uvloop and httptools where they are installed.
        http=protocol or "auto",
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application reads proxy headers on the routes that need them
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


class DrainingServer(uvicorn.Server):
    """A uvicorn server that calls ``on_drain``, serves for ``drain_seconds``, then stops."""

    def __init__(
        self, config: uvicorn.Config, drain_seconds: float, on_drain: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._stop_at: float | None = None  # time.monotonic() at which step 2 begins

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, and log its address."""
        await super().startup(sockets)
        if self.started:
            # The address of the socket: port 0 has become the actual port.
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            log.info("serving: demo page http://%s:%d/ and API documentation /docs", name, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM or SIGINT: call ``on_drain``, and set the time at which to stop."""
        repeated = self._stop_at is not None
        drain = sig == signal.SIGTERM and not repeated
        self._stop_at = time.monotonic() + (self._drain_seconds if drain else 0.0)
        self._on_drain()
        if repeated and sig == signal.SIGINT:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server must stop now; uvicorn calls this ten times a second."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)
