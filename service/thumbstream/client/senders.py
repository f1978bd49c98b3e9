"""`Client` and `AsyncClient`, which send the calls of `thumbstream.client.calls`.

The two classes differ only in how they wait. Their methods have the parameters of the functions
that describe the requests.
"""

from __future__ import annotations

import asyncio
import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import httpx

import thumbstream
from thumbstream.client.calls import Call, Calls
from thumbstream.client.errors import UNEXPECTED_RESPONSE, ServiceError, UnreachableError
from thumbstream.client.retries import RetryPolicy, retry_after

P = ParamSpec("P")
T = TypeVar("T")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)

CONNECT_SECONDS = 5.0
"""Longest time for a connection to open."""

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Longest body of a response: more than any response of the service has."""

MAX_DETAIL_LENGTH = 200
"""Characters of an unexpected response that an error shows."""


class _BaseClient(ABC, Generic[Http]):
    """Parameters of `Client` and `AsyncClient`, and what both do without waiting.

    ``url``: of the service, with its root path. ``token``: bearer token. ``read_key`` and
    ``read_seconds``: sign reads, see `Calls`. ``timeout``: seconds for the service to accept or to
    send a piece of data, and to send the body of a response. ``retries``: see `RetryPolicy`.
    ``options``: parameters of the client of httpx, such as ``verify`` or ``proxy``. Raises
    `ValueError`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        read_key: str | None = None,
        read_seconds: int = 3600,
        timeout: float = 60.0,
        retries: RetryPolicy | None = None,
        **options: Any,
    ) -> None:
        _check_url(url)
        self._timeout = timeout
        self._calls = Calls(token, read_key, read_seconds)
        self._retries = retries or RetryPolicy()
        self._http: Http = self._open(
            base_url=url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            headers={"User-Agent": f"thumbstream-python/{thumbstream.__version__}"},
            **options,
        )

    @abstractmethod
    def _open(self, **options: Any) -> Http: ...

    def url(
        self,
        id: str,
        *,
        bytes: int | None = None,
        ssim: float | None = None,
        psnr: float | None = None,
    ) -> str:
        """Return the path and query that read a stream, signed if there is a read key.

        ``bytes``, ``ssim`` and ``psnr``: as in `thumb`. No request is sent.
        """
        return self._calls.thumb(id, bytes=bytes, ssim=ssim, psnr=psnr).url

    def _request(self, call: Call[T], body: bytes | None) -> httpx.Request:
        return self._http.build_request(
            call.method, call.url, content=body, headers=dict(call.headers)
        )


def _blocking(
    build: Callable[Concatenate[Calls, P], Call[T]],
) -> Callable[Concatenate[Client, P], T]:
    """Make the method of `Client` that sends the call of ``build``."""

    @functools.wraps(build)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(self._calls, *args, **kwargs))

    return method


def _awaitable(
    build: Callable[Concatenate[Calls, P], Call[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Make the method of `AsyncClient` that sends the call of ``build``."""

    @functools.wraps(build)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(self._calls, *args, **kwargs))

    return method


class Client(_BaseClient[httpx.Client]):
    """A client of a thumbstream service, which threads may share.

    Its methods raise `ServiceError` and `UnreachableError`. Use it in a ``with`` statement, or call
    `close`.
    """

    compress = _blocking(Calls.compress)
    thumb = _blocking(Calls.thumb)
    thumbs = _blocking(Calls.thumbs)
    decode = _blocking(Calls.decode)
    budget = _blocking(Calls.budget)
    delete = _blocking(Calls.delete)
    describe = _blocking(Calls.describe)
    streams = _blocking(Calls.streams)
    delete_label = _blocking(Calls.delete_label)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, **options: Any) -> httpx.Client:
        return httpx.Client(**options)

    def _send(self, call: Call[T]) -> T:
        body = call.body.read_bytes() if isinstance(call.body, Path) else call.body
        attempt = 1
        while True:
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = self._receive(self._http.send(self._request(call, body), stream=True))
            except httpx.RequestError as error:
                outcome = error
            pause = self._retries.pause(attempt, outcome)
            if pause is None:
                return _result(call, outcome)
            time.sleep(pause)
            attempt += 1

    def _receive(self, response: httpx.Response) -> httpx.Response:
        body = _Body(response, self._timeout)
        try:
            for chunk in response.iter_bytes():
                body.add(chunk)
        finally:
            response.close()
        return body.response()


class AsyncClient(_BaseClient[httpx.AsyncClient]):
    """`Client` for asyncio: each method is awaited, and tasks may share the client.

    Use it in an ``async with`` statement, or await `close`.
    """

    compress = _awaitable(Calls.compress)
    thumb = _awaitable(Calls.thumb)
    thumbs = _awaitable(Calls.thumbs)
    decode = _awaitable(Calls.decode)
    budget = _awaitable(Calls.budget)
    delete = _awaitable(Calls.delete)
    describe = _awaitable(Calls.describe)
    streams = _awaitable(Calls.streams)
    delete_label = _awaitable(Calls.delete_label)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    def _open(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(**options)

    async def _send(self, call: Call[T]) -> T:
        body = call.body
        if isinstance(body, Path):
            body = await asyncio.to_thread(body.read_bytes)
        attempt = 1
        while True:
            outcome: httpx.Response | httpx.RequestError
            try:
                response = await self._http.send(self._request(call, body), stream=True)
                outcome = await self._receive(response)
            except httpx.RequestError as error:
                outcome = error
            pause = self._retries.pause(attempt, outcome)
            if pause is None:
                return _result(call, outcome)
            await asyncio.sleep(pause)
            attempt += 1

    async def _receive(self, response: httpx.Response) -> httpx.Response:
        body = _Body(response, self._timeout)
        try:
            async for chunk in response.aiter_bytes():
                body.add(chunk)
        finally:
            await response.aclose()
        return body.response()


class _Body:
    """The body of a response, of at most `MAX_RESPONSE_BYTES` that arrive in ``seconds``."""

    def __init__(self, head: httpx.Response, seconds: float) -> None:
        self._head = head
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add a decoded part. Raises `httpx.ReadTimeout` or `ServiceError`."""
        self._content += chunk
        if time.monotonic() > self._deadline:
            text = f"the response did not end within {self._seconds:g} seconds"
            raise httpx.ReadTimeout(text, request=self._head.request)
        if len(self._content) > MAX_RESPONSE_BYTES:
            text = f"expected at most {MAX_RESPONSE_BYTES} bytes"
            raise _service_error(self._head, UNEXPECTED_RESPONSE, text)

    def response(self) -> httpx.Response:
        """Return the complete response."""
        headers = self._head.headers.copy()
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
            headers.pop(name, None)  # of the body as it was sent
        return httpx.Response(
            self._head.status_code,
            headers=headers,
            content=bytes(self._content),
            request=self._head.request,
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or an IPv6 address
        valid = False
    if not valid:
        given = url.rpartition("@")[2]  # without a password
        raise ValueError(f"url: expected a URL such as http://host:8000, got {given!r}")


def _result(call: Call[T], outcome: httpx.Response | httpx.RequestError) -> T:
    if isinstance(outcome, httpx.RequestError):
        what = str(outcome) or type(outcome).__name__
        raise UnreachableError(f"{outcome.request.url.netloc.decode()}: {what}") from outcome
    if not outcome.is_success:
        raise _error(outcome)
    try:
        return call.read(outcome)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unexpected(outcome) from error


def _error(response: httpx.Response) -> ServiceError:
    """Read a problem document; a proxy's error page is an unexpected response."""
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (KeyError, TypeError, ValueError):
        return _unexpected(response)
    return _service_error(response, code, detail)


def _unexpected(response: httpx.Response) -> ServiceError:
    detail = response.text
    if response.has_redirect_location:
        target = response.headers["Location"]
        detail = f"expected a response of the service, got {response.status_code} to {target}"
    return _service_error(response, UNEXPECTED_RESPONSE, detail[:MAX_DETAIL_LENGTH])


def _service_error(response: httpx.Response, code: str, detail: str) -> ServiceError:
    return ServiceError(
        code,
        response.status_code,
        detail,
        request_id=response.headers.get("X-Request-ID"),
        retry_after=retry_after(response),
    )
