"""Request bodies within limits, and clients that disconnect while they wait.

The limit holds while the body arrives: a Content-Length above it is rejected before a byte is read,
and a chunked body at the first byte above it. At most ``max_concurrent`` bodies are in memory at a
time, so memory is bounded by their product.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from thumbstream.http.errors import (
    BadRequestError,
    BodyTooLargeError,
    ClientDisconnectedError,
    UnsupportedMediaTypeError,
    UploadTimeoutError,
)
from thumbstream.workers import Slots

T = TypeVar("T")

FORM_OVERHEAD = 64 * 1024
"""Bytes that boundaries, part headers and small fields of a form may add to the picture."""
FORM_FIELD = "file"
FORM_FIELDS = 8
FORM_TYPE = "multipart/form-data"
RAW_TYPES = ("image/", "application/octet-stream")
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{1,70}", re.ASCII)
"""Of a form (RFC 2046, 5.1.1)."""

ACCEPTED = "image/*, application/octet-stream, multipart/form-data"


class UploadReader:
    """Reads bodies: pictures of at most ``max_bytes``, each body within ``timeout`` seconds."""

    def __init__(self, *, max_bytes: int, max_concurrent: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._slots = Slots(max_concurrent)
        self._timeout = timeout

    async def read_picture(self, request: Request) -> bytes:
        """The picture file, from a raw body or from the field ``file`` of a form.

        Raises `UnsupportedMediaTypeError`, `BodyTooLargeError`, `UploadTimeoutError`,
        `BadRequestError`, `OverloadedError`, `ClientDisconnectedError`.
        """
        media_type = request.headers.get("content-type", RAW_TYPES[-1]).lower()
        if media_type.startswith(FORM_TYPE):
            return await self._limit(lambda: _form_file(request, self._max_bytes))
        if media_type.startswith(RAW_TYPES):
            return await self._limit(lambda: _raw_body(request, self._max_bytes))
        raise UnsupportedMediaTypeError(
            f"expected a picture as one of {ACCEPTED}", headers={"Accept-Post": ACCEPTED}
        )

    async def read_raw(self, request: Request, max_bytes: int) -> bytes:
        """The raw body, whatever its type. Raises what `read_picture` raises."""
        return await self._limit(lambda: _raw_body(request, max_bytes))

    async def _limit(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    body = await read()
            except TimeoutError:
                raise UploadTimeoutError(
                    f"the body did not arrive in {self._timeout:g} seconds"
                ) from None
            except ClientDisconnect:
                raise ClientDisconnectedError(
                    "the client disconnected while it sent the body"
                ) from None
        if not body:
            raise BadRequestError("the body is empty")
        return body


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; cancels it if the client disconnects (`ClientDisconnectedError`).

    Call it after the body was read: until then ``receive`` returns the body.
    """
    working = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnectedError("the client disconnected before the response")
    finally:
        for task in (working, disconnect):
            task.cancel()
        await asyncio.gather(working, disconnect, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    too_large = BodyTooLargeError(f"the body has more than {limit} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


async def _raw_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in _chunks(request, limit):
        body += chunk
    return bytes(body)


def _form_headers(content_type: str) -> Headers:
    # The boundary only. The parser would decode fields by a charset as well, and Python has codecs
    # that take quadratic time (punycode), here on the event loop. RFC 7578 knows no such parameter.
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequestError("the form's Content-Type has no valid boundary")
    return Headers({"content-type": f'{FORM_TYPE}; boundary="{boundary}"'})


class _InMemoryParser(MultiPartParser):
    # The limit is checked while the body arrives; a temporary file would only add a slow disk.
    spool_max_size = sys.maxsize


async def _form_file(request: Request, limit: int) -> bytes:
    chunks = _chunks(request, limit + FORM_OVERHEAD)
    parser = _InMemoryParser(
        _form_headers(request.headers["content-type"]),
        chunks,
        max_files=1,
        max_fields=FORM_FIELDS,
        max_part_size=FORM_OVERHEAD,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadRequestError(f"the form cannot be read: {error.message}") from None
    try:
        file = form.get(FORM_FIELD)
        if not isinstance(file, UploadFile):
            raise BadRequestError(f"the form has no file in a field called {FORM_FIELD!r}")
        picture = await file.read()
    finally:
        await form.close()
    if len(picture) > limit:
        raise BodyTooLargeError(f"the picture has more than {limit} bytes")
    return picture
