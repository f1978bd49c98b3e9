"""uvicorn, and a shutdown in three steps.

SIGTERM: (1) /readyz answers 503 at once while everything is still served, for ``drain_seconds``, so
that a load balancer has time to notice; (2) the port closes and requests in flight finish, for at
most ``shutdown_seconds``; (3) workers and store close. SIGINT (Ctrl-C) skips the first step, and so
does a second SIGTERM; a second SIGINT drops the requests in flight. Either way the exit status is
0.
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
"""File descriptors besides those of clients: of the store, the models, uvicorn."""


def run(
    app: ASGIApp,
    settings: Settings,
    *,
    on_drain: Callable[[], None],
    protocol: type[asyncio.Protocol] | None = None,
) -> bool:
    """Serves ``app`` until a signal stops it; False when it could not start.

    ``on_drain`` is called from a signal handler when the first step begins. ``protocol`` speaks
    HTTP on each connection; without one, uvicorn's own does, which has few limits.
    """
    _raise_fd_limit(settings.max_connections + RESERVED_FDS)
    server = DrainingServer(_config(app, settings, protocol), settings.drain_seconds, on_drain)
    try:
        server.run()
    except SystemExit:  # uvicorn leaves like this when the lifespan or the port fails
        return False
    return server.started


def _raise_fd_limit(needed: int) -> None:
    """Raise the limit of open files to ``needed``, as far as the system permits."""
    if sys.platform == "win32":  # has no such limit
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
        proxy_headers=False,  # the application does it for the routes that need it
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


class DrainingServer(uvicorn.Server):
    """A uvicorn server that announces its stop, then drains, then stops."""

    def __init__(
        self, config: uvicorn.Config, drain_seconds: float, on_drain: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._stop_at: float | None = None  # time.monotonic() at which step 2 begins

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log the address."""
        await super().startup(sockets)
        if self.started:
            # As the socket reports it: port 0 has become a number.
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            log.info("serving: demo page http://%s:%d/ and API documentation /docs", name, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: set the time of the stop instead of stopping."""
        repeated = self._stop_at is not None
        drain = sig == signal.SIGTERM and not repeated
        self._stop_at = time.monotonic() + (self._drain_seconds if drain else 0.0)
        self._on_drain()
        if repeated and sig == signal.SIGINT:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; uvicorn calls this ten times a second."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)
