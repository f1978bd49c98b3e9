"""The pages and their assets: the files of ``thumbstream/web``, read at the start.

Only files that were there at the start, of a known type, have a path; nothing that a client sends
ever becomes a file name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from thumbstream.http.conditional import matches_any
from thumbstream.http.refusals import NotFoundError

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".wasm": "application/wasm",
    ".bin": "application/octet-stream",
}
"""By file name's end. Named here, because the system's own table differs between machines."""

CACHING = "public, max-age=60, must-revalidate"
"""A page and its scripts change together with an upgrade: a minute, then a 304."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""No inline scripts or styles, nothing from another host; pictures may come from memory."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    body: bytes
    media_type: str
    etag: str


class Pages:
    """Files by path below ``/web/``; ``index.html`` also at ``/``, the others at their own."""

    def __init__(self, root: Traversable | None = None) -> None:
        folder = files("thumbstream") / "web" if root is None else root
        self._pages = dict(_read(folder)) if folder.is_dir() else {}

    async def index(self, request: Request) -> Response:
        """The page at ``/``."""
        return self._answer(request, "index.html")

    async def gallery(self, request: Request) -> Response:
        """The page at ``/gallery``."""
        return self._answer(request, "gallery.html")

    async def examples(self, request: Request) -> Response:
        """The page at ``/examples``."""
        return self._answer(request, "examples.html")

    async def asset(self, request: Request) -> Response:
        """A file below ``/web/``. Raises `NotFoundError`."""
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, path: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            raise NotFoundError("no such page")
        headers = {
            "ETag": page.etag,
            "Cache-Control": CACHING,
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        if matches_any(request.headers.get("if-none-match", ""), page.etag):
            return Response(status_code=304, headers=headers)
        return Response(page.body, headers={**headers, "Content-Type": page.media_type})


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Page]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
            continue
        media_type = MEDIA_TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None:
            body = entry.read_bytes()
            etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
            yield prefix + entry.name, Page(body, media_type, etag)
