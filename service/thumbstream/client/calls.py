"""The requests of the clients: for each method, what is sent and how the response is read.

Nothing here opens a connection: `thumbstream.client.senders` sends each `Call`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

import httpx

from thumbstream.client.results import (
    LabelDeletion,
    PageBudget,
    StoredThumbnail,
    StreamDescription,
    StreamPage,
)
from thumbstream.signed_urls import sign_url, signature

T = TypeVar("T")
Query = Mapping[str, str | int | float | None]
Picture = bytes | str | PathLike[str]
"""The bytes of a picture file, or its path."""


_TOKEN = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and the function that reads its successful response."""

    method: str
    url: str
    """Path and query, relative to the URL of the service."""
    read: Callable[[httpx.Response], T]
    body: bytes | Path | None = None
    """Bytes, or a file whose bytes are the body."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Calls:
    """Builds the `Call` of each method.

    ``token``: bearer token of the service. ``read_key``: first key of signed reads; signatures are
    valid for ``read_seconds`` to twice as long, and the same URL is used for ``read_seconds``, so
    that caches can store its response. Raises `ValueError`.
    """

    def __init__(
        self, token: str | None = None, read_key: str | None = None, read_seconds: int = 3600
    ) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("token: expected printable ASCII characters")
        if read_seconds < 1:
            raise ValueError(f"read_seconds: expected at least 1, got {read_seconds}")
        self._token = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._read_key = None if read_key is None else read_key.encode()
        self._read_seconds = read_seconds

    def compress(
        self,
        picture: Picture,
        *,
        size: int | None = None,
        max_bytes: int | None = None,
        target: str | None = None,
        model: str | None = None,
        alpha: Literal["keep", "flatten"] | None = None,
        effort: Literal["fast", "default", "best"] | None = None,
        label: str | None = None,
    ) -> Call[StoredThumbnail]:
        """Upload a picture (the bytes of its file, or a path); returns its `StoredThumbnail`.

        ``size``: long side of the thumbnail in pixels. ``max_bytes``: limit of the stream's length.
        ``target``: ``ssim:0.85``, ``psnr:28`` or ``bytes:64``; excludes ``max_bytes``. ``model``: a
        model of the service. ``alpha``: ``keep`` or ``flatten``. ``effort``: how much work the
        encoder does. None: the service's default.
        ``label``: a name by which the stream can be listed and deleted.
        """
        query = {
            "size": size,
            "max_bytes": max_bytes,
            "target": target,
            "model": model,
            "alpha": alpha,
            "effort": effort,
            "label": label,
        }
        return Call(
            "POST",
            _url("/compress", query),
            lambda response: StoredThumbnail.from_json(
                response.json(), new=response.status_code == httpx.codes.CREATED
            ),
            picture if isinstance(picture, bytes) else Path(picture),
            {"Content-Type": "application/octet-stream", **self._token},
        )

    def thumb(
        self,
        id: str,
        *,
        bytes: int | None = None,
        ssim: float | None = None,
        psnr: float | None = None,
    ) -> Call[bytes]:
        """Read a stream; returns its bytes.

        ``bytes``: only the first bytes. ``ssim`` or ``psnr``: the shortest prefix of this quality.
        """
        query = {"bytes": bytes, **_quality(ssim, psnr)}
        return self._read(_url(f"/thumb/{_segment(id)}", query), _content)

    def thumbs(
        self,
        ids: Sequence[str] | Mapping[str, int],
        *,
        bytes: int | None = None,
        ssim: float | None = None,
        psnr: float | None = None,
    ) -> Call[dict[str, bytes | None]]:
        """Read up to 64 streams; returns a dictionary of id to bytes, None for an unknown id.

        ``ids``: a list, or a mapping of ids to numbers of bytes, such as those of `budget`.
        ``bytes``, ``ssim`` and ``psnr``: as in `thumb`, for each stream.
        """
        _check_list(ids)
        counts = [f"{key}:{n}" for key, n in ids.items()] if isinstance(ids, Mapping) else ids
        query = {"ids": ",".join(counts), "bytes": bytes, **_quality(ssim, psnr)}
        return self._read(
            _url("/thumbs", query), lambda response: _batch(list(ids), response.content)
        )

    def decode(
        self,
        stream: bytes | str,
        *,
        bytes: int | None = None,
        format: Literal["png", "webp"] = "png",
        scale: int = 1,
    ) -> Call[bytes]:
        """Decode a stream (its bytes, or the id of a stored one); returns a picture file.

        ``bytes``: decode only the first bytes. ``scale``: factor that enlarges the sides, 1 to 16.
        """
        query = {"bytes": bytes, "format": format, "scale": scale}
        if isinstance(stream, str):
            return self._read(_url(f"/decode/{_segment(stream)}", query), _content)
        headers = {"Content-Type": "application/vnd.thumbstream", **self._token}
        return Call("POST", _url("/decode", query), _content, stream, headers)

    def budget(
        self, ids: Sequence[str], total_bytes: int, *, measure: Literal["ssim", "psnr"] = "ssim"
    ) -> Call[PageBudget]:
        """Split ``total_bytes`` over the streams of a page; returns the `PageBudget`.

        ``ids``: up to 512 ids as the page shows them. ``measure``: the quality to maximize.
        """
        _check_list(ids)
        body = {"ids": list(ids), "total_bytes": total_bytes, "measure": measure}
        url, headers = "/budget", {"Content-Type": "application/json", **self._token}
        if self._read_key is not None:
            expires = self._expires()
            sig = signature(self._read_key, ",".join(ids), expires)
            url, headers = _url(url, {"exp": expires, "sig": sig}), dict(_JSON)
        return Call(
            "POST",
            url,
            lambda response: PageBudget.from_json(response.json()),
            json.dumps(body).encode(),
            headers,
        )

    def delete(self, id: str) -> Call[None]:
        """Delete a stream and its curve; no error if there is none."""
        return Call("DELETE", f"/thumb/{_segment(id)}", lambda _: None, headers=self._token)

    def describe(self, id: str) -> Call[StreamDescription]:
        """Look up a stream; returns its `StreamDescription`."""
        return Call(
            "GET",
            f"/streams/{_segment(id)}",
            lambda response: StreamDescription.from_json(response.json()),
            headers=self._token,
        )

    def streams(
        self, label: str, *, limit: int | None = None, after: str | None = None
    ) -> Call[StreamPage]:
        """List the streams that were uploaded under ``label``; returns a `StreamPage`.

        ``limit``: length of the page, 1 to 1000. ``after``: ``next`` of the page before.
        """
        return Call(
            "GET",
            _url("/streams", {"label": label, "limit": limit, "after": after}),
            lambda response: StreamPage.from_json(response.json()),
            headers=self._token,
        )

    def delete_label(self, label: str) -> Call[LabelDeletion]:
        """Delete up to 1,000 streams that have no other label; returns the `LabelDeletion`."""
        return Call(
            "DELETE",
            _url("/streams", {"label": label}),
            lambda response: LabelDeletion.from_json(response.json()),
            headers=self._token,
        )

    def _read(self, url: str, read: Callable[[httpx.Response], T]) -> Call[T]:
        """A read is signed where possible: caches do not store responses to a token."""
        if self._read_key is None:
            return Call("GET", url, read, headers=self._token)
        return Call("GET", sign_url(self._read_key, url, self._expires()), read)

    def _expires(self) -> int:
        return (int(time.time()) // self._read_seconds + 2) * self._read_seconds


_JSON = {"Content-Type": "application/json"}


def _url(path: str, query: Query) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    for name, value in given.items():
        _check_text(name, value)
    # ":" and "," stay as they are in the canonical form of a batch.
    return f"{path}?{urlencode(given, safe=':,')}" if given else path


def _segment(id: str) -> str:
    return quote(_check_text("id", id), safe="")


def _check_text(name: str, value: T) -> T:
    """Return ``value``; raise ValueError for text without a UTF-8 form, as a lone surrogate is."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}: expected Unicode text, got {value!r}") from None
    return value


def _check_list(ids: object) -> None:
    # A string is a sequence of strings, too.
    if isinstance(ids, str | bytes):
        raise TypeError(f"ids: expected a list of ids, got {type(ids).__name__}")


def _quality(ssim: float | None, psnr: float | None) -> dict[str, str | None]:
    return {name: _decimal(value) for name, value in (("ssim", ssim), ("psnr", psnr))}


def _decimal(value: float | None) -> str | None:
    """The shortest form with at most six decimals: other spellings are other URLs to a cache."""
    return None if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def _content(response: httpx.Response) -> bytes:
    return response.content


def _batch(ids: Sequence[str], body: bytes) -> dict[str, bytes | None]:
    """Read ``application/vnd.thumbstream.batch``: 16 bits of length before each stream."""
    streams: dict[str, bytes | None] = {}
    position = 0
    for key in ids:
        start = position + 2
        position = start + int.from_bytes(body[position:start], "big")
        streams[key] = body[start:position] or None
    if position != len(body):
        raise ValueError(f"expected a batch of {position} bytes, got {len(body)}")
    return streams
