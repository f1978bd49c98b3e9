"""Serves ``thumbstream/web``: HTML pages, their assets, and the browser client library.

    GET /, /gallery, /docs, /web/{path}       cacheable for a minute
    GET /client/{version}/{name}              immutable; ``version`` is the hash of all client files
    GET /client/{name}                        a script of the current version; 307 to another file

All files are read once, at the start, and only files of known types: no part of a request becomes a
file name. The modules of the client library refer to each other and to the weights by relative
URLs, so a page gets all of them from one version. A script that is requested without a version
refers to the other files under the current one, and HTML pages name that one, so that nothing is
redirected. A request for an unknown version is redirected to the current version: pages that name
an old version keep working after an upgrade, and during an upgrade a replica can serve a page that
names the version of another replica.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from thumbstream.http.errors import NotFoundError
from thumbstream.http.request_headers import accepts_gzip, matches_any
from thumbstream.http.responses import IMMUTABLE_CACHE_CONTROL

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".wasm": "application/wasm",
    ".bin": "application/octet-stream",
}
"""Media type by file suffix. The system's own table differs between machines."""

PAGE_CACHE_CONTROL = "public, max-age=60, must-revalidate"
"""Cache-Control of pages and assets: an upgrade changes them, so caches revalidate each minute."""

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
"""Pages may use no inline scripts or styles and no other hosts; ``blob:`` and ``data:`` pictures
are allowed."""


CLIENT_SUFFIXES = (".js", ".wasm", ".bin")
"""Suffixes of the client library's files that a browser loads; other files are only for npm."""

ENTRY_SUFFIX = ".min.js"
"""Suffix of the scripts that pages load without a version."""

COMPRESSED_SUFFIXES = (".html", ".css", ".js", ".svg")
"""Suffixes of files that are sent with gzip if the client accepts it; pictures and weights compress
no further."""

LATEST_CACHE_CONTROL = "public, max-age=60, stale-while-revalidate=86400"
"""Cache-Control of /client/{name}: an upgrade changes it, and no page waits for that."""

REDIRECT_CACHE_CONTROL = "no-store"
"""Cache-Control of a redirect from an unknown version, which another replica may know."""

_VERSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory, with its gzipped form or None."""

    media_type: str
    etag: str
    body: bytes
    gzipped: bytes | None

    def respond(self, request: Request, headers: dict[str, str]) -> Response:
        """Responds with the file, gzipped if the client accepts it, or with 304 if it has it."""
        encodings = request.headers.get("accept-encoding", "")
        gzipped = self.gzipped if accepts_gzip(encodings) else None
        etag = self.etag if gzipped is None else f'{self.etag[:-1]}.gz"'
        headers = {
            "ETag": etag,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            **headers,
        }
        if matches_any(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = self.media_type
        if gzipped is None:
            return Response(self.body, headers=headers)
        return Response(gzipped, headers={**headers, "Content-Encoding": "gzip"})


class StaticPages:
    """Endpoints for HTML pages and their assets below ``/web/``.

    ``root_path`` is put before absolute URLs in HTML, and ``client_version`` into those of the
    client library; ``root`` replaces ``thumbstream/web``.
    """

    def __init__(
        self, root_path: str = "", client_version: str = "", root: Traversable | None = None
    ) -> None:
        folder = files("thumbstream") / "web" if root is None else root
        edits = [(b'="/', f'="{root_path}/'.encode())]
        if client_version:
            client = f'="{root_path}/client/'.encode()
            edits.append((client, client + f"{client_version}/".encode()))
        self._pages = dict(_read_pages(folder, edits)) if folder.is_dir() else {}

    async def index(self, request: Request) -> Response:
        """Serves ``index.html`` at ``/``."""
        return self._respond(request, "index.html")

    async def gallery(self, request: Request) -> Response:
        """Serves ``gallery.html`` at ``/gallery``."""
        return self._respond(request, "gallery.html")

    async def docs(self, request: Request) -> Response:
        """Serves ``docs.html`` at ``/docs``."""
        return self._respond(request, "docs.html")

    async def asset(self, request: Request) -> Response:
        """Serves a file below ``/web/``. Raises `NotFoundError` for an unknown path."""
        return self._respond(request, request.path_params["path"])

    def _respond(self, request: Request, path: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            raise NotFoundError("no such page")
        headers = {
            "Cache-Control": PAGE_CACHE_CONTROL,
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Referrer-Policy": "no-referrer",
        }
        return page.respond(request, headers)


class ClientAssets:
    """Endpoints for the files of the browser client library, below ``/client/``.

    ``root`` replaces the folder ``thumbstream/web/client``.
    """

    def __init__(self, root: Traversable | None = None) -> None:
        folder = files("thumbstream") / "web" / "client" if root is None else root
        self._files = dict(_read_client(folder)) if folder.is_dir() else {}
        digest = blake2b(digest_size=8)
        for name, file in sorted(self._files.items()):
            digest.update(f"{name} {file.etag}\n".encode())
        self.version = digest.hexdigest()
        """16 hexadecimal digits: a hash of the names and contents of all files."""
        self._latest = {
            name: _static_file(".js", self._with_version(file.body))
            for name, file in self._files.items()
            if name.endswith(ENTRY_SUFFIX)
        }

    async def file(self, request: Request) -> Response:
        """Serves /client/{version}/{name}; redirects from another version to the current one.

        Raises `NotFoundError` for an unknown name or a malformed version.
        """
        version, name = request.path_params["version"], request.path_params["name"]
        file = self._find(name)
        if version != self.version:
            if _VERSION.fullmatch(version) is None:
                raise NotFoundError("no such version of the client")
            return _redirect(f"../{self.version}/{name}", REDIRECT_CACHE_CONTROL)
        return file.respond(request, {"Cache-Control": IMMUTABLE_CACHE_CONTROL})

    async def latest(self, request: Request) -> Response:
        """Serves /client/{name} if it is a built script; redirects to the version of other files.

        Raises `NotFoundError`.
        """
        name = request.path_params["name"]
        self._find(name)
        if name in self._latest:
            return self._latest[name].respond(request, {"Cache-Control": LATEST_CACHE_CONTROL})
        return _redirect(f"{self.version}/{name}", LATEST_CACHE_CONTROL)

    def _with_version(self, script: bytes) -> bytes:
        return script.replace(b'"./', f'"./{self.version}/'.encode())

    def _find(self, name: str) -> StaticFile:
        file = self._files.get(name)
        if file is None:
            raise NotFoundError("no such file of the client")
        return file


def _read_pages(
    folder: Traversable, html_edits: list[tuple[bytes, bytes]], prefix: str = ""
) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read_pages(entry, html_edits, f"{prefix}{entry.name}/")
            continue
        suffix = _suffix(entry)
        if suffix in MEDIA_TYPES:
            body = entry.read_bytes()
            for old, new in html_edits if suffix == ".html" else ():
                body = body.replace(old, new)
            yield prefix + entry.name, _static_file(suffix, body)


def _read_client(folder: Traversable) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        suffix = _suffix(entry)
        if suffix in CLIENT_SUFFIXES and entry.is_file():
            yield entry.name, _static_file(suffix, entry.read_bytes())


def _suffix(entry: Traversable) -> str:
    return "." + entry.name.rpartition(".")[2]


def _static_file(suffix: str, body: bytes) -> StaticFile:
    etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    gzipped = gzip.compress(body, 9, mtime=0) if suffix in COMPRESSED_SUFFIXES else None
    return StaticFile(MEDIA_TYPES[suffix], etag, body, gzipped)


def _redirect(location: str, caching: str) -> Response:
    # Relative, so that it also works with a proxy that serves the service below a path.
    return Response(status_code=307, headers={"Location": location, "Cache-Control": caching})
