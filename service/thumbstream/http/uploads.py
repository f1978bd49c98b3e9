"""Bodies of requests, read within limits.

The limit holds while the body arrives: a Content-Length above it is refused before a byte is read,
and a chunked body at the first byte too many. At most ``uploads`` bodies are held at a time, so
that memory is bounded by their product.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from thumbstream.http.refusals import (
    BadRequestError,
    BodyTooLargeError,
    ClientGoneError,
    UnsupportedMediaTypeError,
    UploadTimeoutError,
)
from thumbstream.workers import Slots

FORM_OVERHEAD = 64 * 1024
"""Bytes that boundaries, part headers and small fields of a form may add to the picture."""
FORM_FIELD = "file"
FORM_FIELDS = 8
FORM_TYPE = "multipart/form-data"
RAW_TYPES = ("image/", "application/octet-stream")
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{1,70}", re.ASCII)
"""What a boundary may be (RFC 2046, 5.1.1)."""

ACCEPTED = "image/*, application/octet-stream, multipart/form-data"


class Uploads:
    """Reads bodies: ``limit`` in bytes for a picture, ``timeout`` in seconds for one body."""

    def __init__(self, *, limit: int, uploads: int, timeout: float) -> None:
        self._limit = limit
        self._slots = Slots(uploads)
        self._timeout = timeout

    async def picture(self, request: Request) -> bytes:
        """The picture's file, from a raw body or from the field ``file`` of a form.

        Raises `UnsupportedMediaTypeError`, `BodyTooLargeError`, `UploadTimeoutError`,
        `BadRequestError`, `OverloadedError`, `ClientGoneError`.
        """
        media_type = request.headers.get("content-type", RAW_TYPES[-1]).lower()
        if media_type.startswith(FORM_TYPE):
            return await self._hold(lambda: _form_file(request, self._limit))
        if media_type.startswith(RAW_TYPES):
            return await self._hold(lambda: _whole(request, self._limit))
        raise UnsupportedMediaTypeError(
            f"send the picture as one of {ACCEPTED}", headers={"Accept-Post": ACCEPTED}
        )

    async def raw(self, request: Request, limit: int) -> bytes:
        """The raw body, whatever its type, of at most ``limit`` bytes. Raises as `picture` does."""
        return await self._hold(lambda: _whole(request, limit))

    async def _hold(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    body = await read()
            except TimeoutError:
                raise UploadTimeoutError(
                    f"the body did not arrive in {self._timeout:g} seconds"
                ) from None
            except ClientDisconnect:
                raise ClientGoneError("the client left while it sent the body") from None
        if not body:
            raise BadRequestError("the body is empty")
        return body


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


async def _whole(request: Request, limit: int) -> bytes:
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
