"""A TCP proxy on loopback with the faults of networks.

async with FaultProxy(server_port) as proxy:
    proxy.delay = 2.0          # every piece arrives two seconds later, in both directions
    proxy.black_hole = True    # nothing arrives any more; what was sent meanwhile arrives later
    proxy.cut_after = 10       # each connection is reset after 10 bytes of answers
    proxy.refuse = True        # new connections are reset at once
    proxy.reset()              # all connections are reset
    proxy.half_open()          # the server closes all connections, and the client is not notified
    proxy.heal()               # new connections work again; old ones as far as possible
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType

PIECE = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds: closing sends RST in the place of FIN."""


class Link:
    """One connection: its two ends and its state."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.answered = 0
        """Bytes that went back to the client."""
        self.forgotten = False
        """Half-open: the server's end is closed, the client's end receives nothing more."""


class FaultProxy:
    """Forwards between its own port and ``server_port``, both on 127.0.0.1."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.cut_after: int | None = None
        self.refuse = False
        self.accepted = 0
        self.server_port = server_port
        """May be changed: new connections lead there, as when a name gets another address."""
        self._passable = asyncio.Event()
        self._passable.set()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def black_hole(self) -> bool:
        return not self._passable.is_set()

    @black_hole.setter
    def black_hole(self, wanted: bool) -> None:
        if wanted:
            self._passable.clear()
        else:
            self._passable.set()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for link in list(self._links):
            self._reset(link)

    def half_open(self) -> None:
        """Close the server's side of every connection; the client's side receives nothing."""
        for link in self._links:
            link.forgotten = True
            link.server.transport.abort()

    def heal(self) -> None:
        """Stop all faults."""
        self.delay, self.cut_after, self.refuse, self.black_hole = 0.0, None, False, False

    async def __aenter__(self) -> FaultProxy:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        if self.refuse:
            abort(client)
            return
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            abort(client)
            return
        link = Link(client, server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pass_on(link, reader, server), self._pass_on(link, answers, client)
            )
        except asyncio.CancelledError:
            pass  # the proxy closes; asyncio's streams would log their cancellation
        finally:
            self._links.discard(link)
            abort(client)
            abort(server)

    async def _pass_on(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers = writer is link.client
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._passable.wait()
                if link.forgotten:
                    continue
                if answers:
                    if self.cut_after is not None:
                        piece = piece[: max(0, self.cut_after - link.answered)]
                    link.answered += len(piece)
                writer.write(piece)
                await writer.drain()
                if answers and self.cut_after is not None and link.answered >= self.cut_after:
                    self._reset(link)
                    return
        await self._passable.wait()
        if link.forgotten and answers:
            return  # the server's end is gone, and the client is not notified
        writer.close()

    @staticmethod
    def _reset(link: Link) -> None:
        abort(link.client)
        abort(link.server)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close at once, with RST. What was written last may still be on its way, and is sent."""
    if writer.transport.is_closing():
        return
    end: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
