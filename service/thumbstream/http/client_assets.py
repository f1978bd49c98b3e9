"""The browser client: the files of ``thumbstream/web/client``, under an address that never changes.

    GET /client/{version}/{name}    one file, immutable; ``version`` is the hash of all of them
    GET /client/{name}              307 to the same under the version that is served now

Modules find each other and the weights beside themselves, so all files of a page are of one
version. An unknown version is redirected as well: pages that name an old one go on working behind
an upgrade, and so do those that ask another replica in the middle of one.
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

from thumbstream.http.conditional import matches_any
from thumbstream.http.refusals import NotFoundError
from thumbstream.http.replies import FOR_EVER
from thumbstream.http.static import MEDIA_TYPES

SERVED = (".js", ".wasm", ".bin")
"""What a browser loads; sources, types and package metadata are for npm."""

PACKED = ".js"
"""Sent gzipped to whoever accepts it; the weights are packed already."""

NEWEST = "public, max-age=60"
"""An upgrade changes where the newest version is: a minute."""

ELSEWHERE = "no-store"
"""Two replicas of different versions may each know but their own: no redirect is remembered."""

_VERSION = re.compile(r"[0-9a-f]{16}")
_REFUSED = re.compile(r"q\s*=\s*0(\.0*)?\s*$")


@dataclass(frozen=True, slots=True)
class ClientFile:
    """One file, as it is and gzipped (None: it is sent as it is)."""

    media_type: str
    etag: str
    body: bytes
    packed: bytes | None


class ClientFiles:
    """The files of the client by name, read once at the start."""

    def __init__(self, root: Traversable | None = None) -> None:
        folder = files("thumbstream") / "web" / "client" if root is None else root
        self._files = dict(_read(folder)) if folder.is_dir() else {}
        digest = blake2b(digest_size=8)
        for name, file in sorted(self._files.items()):
            digest.update(f"{name} {file.etag}\n".encode())
        self.version = digest.hexdigest()
        """16 hexadecimal digits; other files have another one."""

    async def file(self, request: Request) -> Response:
        """A file under its version. Raises `NotFoundError`."""
        version, name = request.path_params["version"], request.path_params["name"]
        file = self._find(name)
        if version != self.version:
            if _VERSION.fullmatch(version) is None:
                raise NotFoundError("no such version of the client")
            return _moved(f"../{self.version}/{name}", ELSEWHERE)
        packed = file.packed if _accepts_gzip(request.headers.get("accept-encoding", "")) else None
        etag = file.etag if packed is None else f'{file.etag[:-1]}.gz"'
        headers = {
            "ETag": etag,
            "Cache-Control": FOR_EVER,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if matches_any(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = file.media_type
        if packed is None:
            return Response(file.body, headers=headers)
        return Response(packed, headers={**headers, "Content-Encoding": "gzip"})

    async def newest(self, request: Request) -> Response:
        """Where a file of the version that is served now is. Raises `NotFoundError`."""
        name = request.path_params["name"]
        self._find(name)
        return _moved(f"{self.version}/{name}", NEWEST)

    def _find(self, name: str) -> ClientFile:
        file = self._files.get(name)
        if file is None:
            raise NotFoundError("no such file of the client")
        return file


def _moved(place: str, caching: str) -> Response:
    # Relative, so that it is true behind a proxy that serves all this below a path.
    return Response(status_code=307, headers={"Location": place, "Cache-Control": caching})


def _accepts_gzip(field: str) -> bool:
    """Whether an Accept-Encoding field (RFC 9110, 12.5.3) permits gzip."""
    weights = {
        name.strip(): _REFUSED.search(parameters) is None
        for name, _, parameters in (item.partition(";") for item in field.lower().split(","))
    }
    return weights.get("gzip", weights.get("*", False))


def _read(folder: Traversable) -> Iterator[tuple[str, ClientFile]]:
    for entry in folder.iterdir():
        end = "." + entry.name.rpartition(".")[2]
        if end not in SERVED or not entry.is_file():
            continue
        body = entry.read_bytes()
        etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
        packed = gzip.compress(body, 9, mtime=0) if end == PACKED else None
        yield entry.name, ClientFile(MEDIA_TYPES[end], etag, body, packed)
