"""Streams are uploaded, deleted and purged through the nginx that is deployed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from cdn_servers import CountedService, Nginx, picture

STATUS = "x-cache-status"
TOKEN = {"Authorization": "Bearer a-secret-of-the-shop"}


def cache_file(folder: Path, path: str) -> Path:
    """The file of a URL in the cache, as docs/cdn.md describes it."""
    name = hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()
    return folder / "streams" / name[-1] / name[-3:-1] / name


def test_upload_read_delete_purge(folder: Path) -> None:
    service = CountedService(
        folder,
        {
            "THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db",
            "THUMBSTREAM_TOKENS": "shop:a-secret-of-the-shop",
        },
    )
    service.start()
    nginx = Nginx(folder / "nginx", [service])
    nginx.start()
    try:
        with httpx.Client(base_url=nginx.url, timeout=60) as cdn:
            headers = {"Content-Type": "image/png", **TOKEN}
            answer = cdn.post("/compress?label=shoes", content=picture(7), headers=headers)
            assert answer.status_code == 201, answer.text
            key = answer.json()["id"]
            path = f"/t/{key}/64"
            first = cdn.get(path)
            assert (first.status_code, first.headers["cache-tag"]) == (200, key)

            assert cdn.delete(f"/thumb/{key}").status_code == 401
            assert cdn.get("/streams?label=shoes", headers=TOKEN).status_code == 404  # not public
            listed = httpx.get(f"{service.url}/streams?label=shoes", headers=TOKEN).json()
            assert [stream["id"] for stream in listed["streams"]] == [key]

            assert cdn.delete(f"/thumb/{key}", headers=TOKEN).status_code == 204
            assert cdn.get(f"/thumb/{key}").status_code == 404  # not in the cache
            assert cdn.get(path).headers[STATUS] == "HIT"  # until it is purged
            cache_file(nginx.folder, path).unlink()
            assert cdn.get(path).status_code == 404

            again = cdn.post("/compress", content=picture(7), headers=headers)
            assert (again.status_code, again.json()["id"]) == (201, key)
            fresh = cdn.get(f"{path}?_=1")  # the 404 is cached for ten seconds
            assert (fresh.status_code, fresh.content) == (200, first.content)
    finally:
        nginx.stop()
        service.stop()
