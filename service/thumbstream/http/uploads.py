"""Reads request bodies within limits, and cancels work when its client disconnects.

A body with a Content-Length above ``max_bytes`` is rejected before any of it is read, and a chunked
body at the first byte above ``max_bytes``. Each route has ``max_concurrent`` slots, one for each
body that is arriving, so memory is bounded by the product of both limits. One client has at most
half of the slots of a route. So slow bodies block neither other routes nor other clients.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from thumbstream.http.auth import client_name
from thumbstream.http.errors import (
    BadRequestError,
    BodyTooLargeError,
    ClientDisconnectedError,
    UnsupportedMediaTypeError,
    UploadTimeoutError,
)
from thumbstream.thread_pool import OverloadedError

T = TypeVar("T")

FORM_OVERHEAD = 64 * 1024
"""Bytes that boundaries, part headers and small fields of a form may add to the picture."""
FORM_FIELD = "file"
FORM_PARTS = 10
"""Number of parts at which a form is rejected: it may have the file and 8 other fields."""
PART_HEAD_BYTES = 4096
PREAMBLE_BYTES = 4096
FORM_TYPE = "multipart/form-data"
RAW_TYPES = ("image/", "application/octet-stream")
_BOUNDARY = re.compile(r"[ !#-\[\]-~]{0,69}[!#-\[\]-~]", re.ASCII)
"""Boundary of a form: RFC 2046, 5.1.1, and other printable characters, which some clients use."""

MAX_TYPE_BYTES = 512
"""Limit of the Content-Type field of a form."""

SMALL_BODY_SECONDS = 10.0
"""Timeout for the body of /decode or /budget, which has at most 64 KiB."""

ACCEPTED = "image/*, application/octet-stream, multipart/form-data"


class BodySlots:
    """Limits the bodies of one route that arrive at the same time, in total and for each client."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._client_limit = max(1, limit // 2)
        self._used: Counter[str] = Counter()

    @contextmanager
    def slot(self, client: str) -> Iterator[None]:
        """Holds a slot for the duration of a ``with`` block.

        Raises `OverloadedError` if no slot is free, or ``client`` has half of the slots.
        """
        if self._used.total() >= self._limit:
            raise OverloadedError(f"too many bodies at once ({self._limit})")
        if self._used[client] >= self._client_limit:
            raise OverloadedError(f"too many bodies of one client ({self._client_limit})")
        self._used[client] += 1
        try:
            yield
        finally:
            self._used[client] -= 1
            if not self._used[client]:
                del self._used[client]


class UploadReader:
    """Reads request bodies within limits.

    ``max_bytes``: of a picture. ``max_concurrent``: bodies that arrive at a time on each route.
    ``timeout``: seconds for a body to arrive.
    """

    def __init__(self, *, max_bytes: int, max_concurrent: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._max_concurrent = max_concurrent
        self._slots: dict[str, BodySlots] = {}  # by path of the route
        self._timeout = timeout

    async def read_picture(self, request: Request) -> bytes:
        """Reads a picture file from a raw body, or from the field ``file`` of a form.

        Raises `UnsupportedMediaTypeError`, `BodyTooLargeError`, `UploadTimeoutError`,
        `BadRequestError`, `OverloadedError`, `ClientDisconnectedError`.
        """
        media_type = request.headers.get("content-type", RAW_TYPES[-1])
        if media_type.lower().startswith(FORM_TYPE):
            delimiter = _form_delimiter(media_type)
            limit = self._max_bytes + FORM_OVERHEAD
            form = await self._limit(request, limit, self._timeout)
            picture = await asyncio.to_thread(read_form_file, form, delimiter)
            if len(picture) > self._max_bytes:
                raise BodyTooLargeError(f"the picture has more than {self._max_bytes} bytes")
            return _not_empty(picture)
        if media_type.lower().startswith(RAW_TYPES):
            return await self._limit(request, self._max_bytes, self._timeout)
        raise UnsupportedMediaTypeError(
            f"expected a picture as one of {ACCEPTED}, got {media_type}: send its Content-Type, "
            "such as image/jpeg",
            headers={"Accept-Post": ACCEPTED},
        )

    async def read_raw(self, request: Request, max_bytes: int) -> bytes:
        """Reads a raw body, not a form, of at most ``max_bytes``. Errors: see `read_picture`."""
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise UnsupportedMediaTypeError("expected a raw body, got a form")
        return await self._limit(request, max_bytes, min(self._timeout, SMALL_BODY_SECONDS))

    async def _limit(self, request: Request, max_bytes: int, seconds: float) -> bytes:
        _check_encoding(request)
        path = request.scope["route"].path
        slots = self._slots.setdefault(path, BodySlots(self._max_concurrent))
        with slots.slot(client_name(request.scope)):
            try:
                async with asyncio.timeout(seconds):
                    body = await _raw_body(request, max_bytes)
            except TimeoutError:
                raise UploadTimeoutError(
                    f"the body did not arrive in {seconds:g} seconds"
                ) from None
            except ClientDisconnect:
                raise ClientDisconnectedError(
                    "the client disconnected while it sent the body"
                ) from None
        return _not_empty(body)


def _not_empty(body: bytes) -> bytes:
    if not body:
        raise BadRequestError("the body is empty")
    return body


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"Content-Encoding {encoding[:64]!r} is not supported: send the body as it is",
            headers={"Accept-Encoding": "identity"},
        )


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Returns the result of ``work``; cancels ``work`` if the client disconnects.

    Call this after the body was read: until then ``receive`` returns the body. Raises
    `ClientDisconnectedError`, or the errors of ``work``.
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
    # Growing one buffer instead would take 1.5 ms more for 2 MB.
    return b"".join([chunk async for chunk in _chunks(request, limit)])


def _form_delimiter(content_type: str) -> bytes:
    """The delimiter before each part: two hyphens and the boundary in a form's Content-Type.

    Ignores a charset in Content-Type: RFC 7578 has none, and some Python codecs take quadratic
    time.
    """
    if len(content_type) > MAX_TYPE_BYTES:
        raise BadRequestError("the form's Content-Type is too long")
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequestError("the form's Content-Type has no valid boundary")
    return b"--" + boundary.encode()


def read_form_file(form: bytes, delimiter: bytes) -> bytes:
    """The content of the part of a form that is called ``file`` (RFC 2046, 5.1).

    Ignores a preamble before the first delimiter, and file names, which some clients do not send.
    Raises `BadRequestError` for a malformed form, and for one without this part.
    """
    line = b"\r\n" + delimiter
    first = 0 if form.startswith(delimiter) else form.find(line, 0, PREAMBLE_BYTES) + 2
    if first == 1:
        raise BadRequestError("the form cannot be read: it does not have its boundary")
    start = first + len(delimiter)
    file: bytes | None = None
    for _ in range(FORM_PARTS):
        if form.startswith(b"--", start):
            break
        head_end = form.find(b"\r\n\r\n", start, start + PART_HEAD_BYTES)
        if head_end < 0:
            raise BadRequestError("the form cannot be read: a part has no valid header fields")
        end = form.find(line, head_end + 2)  # the empty line may belong to the delimiter
        if end < 0:
            raise BadRequestError("the form cannot be read: its end is missing")
        if _part_name(form[start:head_end]) == FORM_FIELD:
            if file is not None:
                raise BadRequestError(f"the form has several fields called {FORM_FIELD!r}")
            file = form[head_end + 4 : end]
        start = end + len(line)
    else:
        raise BadRequestError(f"the form has {FORM_PARTS} parts or more")
    if file is None:
        raise BadRequestError(f"the form has no file in a field called {FORM_FIELD!r}")
    return file


def _part_name(head: bytes) -> str | None:
    for field in head.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"content-disposition":
            _, options = parse_options_header(value)
            return options.get(b"name", b"").decode("latin-1")
    return None
