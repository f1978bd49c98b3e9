"""The proxy itself: each fault is what its name says, seen from a plain client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from fault_proxy import FaultProxy

SILENCE_S = 0.2
"""Nothing came for so long: nothing comes."""


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """In front of a server that sends everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, text: bytes) -> bytes:
        """What comes back within the time of silence, nothing if that is what comes."""
        self.writer.write(text)
        return await self.hears()

    async def hears(self) -> bytes:
        try:
            return await asyncio.wait_for(self.reader.read(1000), SILENCE_S)
        except TimeoutError:
            return b""


async def connect(proxy: FaultProxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_without_faults(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    assert await client.says(b"hello") == b"hello"
    assert proxy.accepted == 1


async def test_an_end_is_passed_on(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    assert await client.says(b"bye") == b"bye"
    client.writer.write_eof()
    assert await asyncio.wait_for(client.reader.read(), 10) == b""


async def test_delay(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    proxy.delay = 0.3
    before = time.monotonic()
    client.writer.write(b"late")
    assert await client.reader.read(10) == b"late"
    assert time.monotonic() - before >= 0.6


async def test_reset(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await client.says(b"x")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(10), 10)
    assert await (await connect(proxy)).says(b"again") == b"again"


async def test_black_hole_delays_data(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    proxy.black_hole = True
    assert await client.says(b"where are you") == b""
    assert await (await connect(proxy)).says(b"and new ones") == b""
    proxy.heal()
    assert await client.says(b"?") == b"where are you?"


async def test_half_open(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    assert await client.says(b"x") == b"x"
    proxy.half_open()
    assert await client.says(b"anybody there") == b""
    assert not client.reader.at_eof()
    assert await (await connect(proxy)).says(b"new") == b"new"


async def test_cut_after(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    proxy.cut_after = 6
    assert await client.says(b"four") == b"four"
    client.writer.write(b"more")
    received = b""
    with pytest.raises(ConnectionResetError):
        while piece := await asyncio.wait_for(client.reader.read(10), 10):
            received += piece
    assert b"mo".startswith(received)


async def test_refuse(proxy: FaultProxy) -> None:
    proxy.refuse = True
    client = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(10), 10)
    proxy.heal()
    assert await (await connect(proxy)).says(b"well") == b"well"
