"""The browser client under its versioned address."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest
from service_harness import IMMUTABLE, Running, Start, assert_problem

from thumbstream.http.static import ClientAssets

CLIENT = Path(__file__).resolve().parents[2] / "service" / "thumbstream" / "web" / "client"
OTHER_VERSION = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client = tmp_path / "client"
    client.mkdir()
    (client / "thumbstream.min.js").write_text("export {};" * 50)
    (client / "client.bin").write_bytes(bytes(range(256)))
    (client / "kernels.wasm").write_bytes(b"\0asm")
    for name in ("build.sh", "index.d.ts", "package.json", "kernels.c"):
        (client / name).write_text("not for browsers")
    (tmp_path / "secret.js").write_text("secret")
    return client


VERSION = ClientAssets().version


async def get(running: Running, name: str, **headers: str) -> httpx.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await running.http.get(f"/client/{VERSION}/{name}", headers=fields)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("thumbstream.min.js", "text/javascript; charset=utf-8"),
        ("images.min.js", "text/javascript; charset=utf-8"),
        ("worker.min.js", "text/javascript; charset=utf-8"),
        ("client.bin", "application/octet-stream"),
        ("kernels.wasm", "application/wasm"),
    ],
)
async def test_client_files_are_immutable_and_public(
    running: Running, name: str, media_type: str
) -> None:
    answer = await get(running, name)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == IMMUTABLE
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == (CLIENT / name).read_bytes()


async def test_scripts_are_gzipped_if_accepted(running: Running) -> None:
    plain = await get(running, "images.js", accept_encoding="identity")
    packed = await get(running, "images.js", accept_encoding="gzip, br")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.content == plain.content
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    ("field", "packed"),
    [("", False), ("br", False), ("gzip;q=0", False), ("*", True), ("GZIP ; q=0.5", True),
     ("*, gzip;q=0.0", False)],
)  # fmt: skip
async def test_accept_encoding_selects_gzip(running: Running, field: str, packed: bool) -> None:
    answer = await get(running, "images.js", accept_encoding=field)
    assert ("content-encoding" in answer.headers) is packed


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_client_files_are_revalidated(running: Running, encoding: str) -> None:
    first = await get(running, "images.js", accept_encoding=encoding)
    again = await get(
        running, "images.js", accept_encoding=encoding, if_none_match=first.headers["etag"]
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == IMMUTABLE


async def test_unversioned_path_redirects_to_the_current_version(running: Running) -> None:
    answer = await running.http.get("/client/images.js")
    assert answer.status_code == 307
    assert answer.headers["cache-control"].startswith("public, max-age=60")
    assert answer.headers["access-control-allow-origin"] == "*"
    followed = await running.http.get("/client/images.js", follow_redirects=True)
    assert followed.url.path == f"/client/{VERSION}/images.js"
    assert followed.status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_unversioned_scripts_are_served_and_name_the_version(
    running: Running, encoding: str
) -> None:
    answer = await running.http.get("/client/images.min.js", headers={"Accept-Encoding": encoding})
    assert answer.status_code == 200
    assert "immutable" not in answer.headers["cache-control"]
    built = (CLIENT / "images.min.js").read_text()
    assert answer.text == built.replace('"./', f'"./{VERSION}/')
    again = await running.http.get(
        "/client/images.min.js",
        headers={"Accept-Encoding": encoding, "If-None-Match": answer.headers["etag"]},
    )
    assert again.status_code == 304


async def test_unknown_version_redirects_to_the_current_one(running: Running) -> None:
    answer = await running.http.get(f"/client/{OTHER_VERSION}/images.js")
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "no-store"
    followed = await running.http.get(answer.request.url, follow_redirects=True)
    assert followed.url.path == f"/client/{VERSION}/images.js"


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        f"{OTHER_VERSION}/nothing.js",
        "newest/images.js",
        "package.json",
        "index.d.ts",
        "build.sh",
        "..%2Flanding.js",
        "",
    ],
)
async def test_unknown_files_are_not_found(running: Running, path: str) -> None:
    assert_problem(await running.http.get(f"/client/{path}"), 404, "not_found")


async def test_head_and_preflight(running: Running) -> None:
    path = f"/client/{VERSION}/client.bin"
    head = await running.http.head(path)
    assert head.status_code == 200
    assert (
        int(head.headers["content-length"])
        == (Path(__file__).parents[2] / CLIENT / "client.bin").stat().st_size
    )
    preflight = await running.http.options(path, headers={"Origin": "https://elsewhere.example"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


async def test_client_cors_origin_is_configurable(start: Start) -> None:
    running = await start(cors_origin="https://shop.example")
    answer = await get(running, "images.js")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_version_is_the_hash_of_browser_files(folder: Path) -> None:
    first = ClientAssets(folder).version
    assert re.fullmatch("[0-9a-f]{16}", first)
    (folder / "package.json").write_text("{}")
    assert ClientAssets(folder).version == first
    (folder / "client.bin").write_bytes(b"other weights")
    second = ClientAssets(folder).version
    (folder / "thumbstream.min.js").rename(folder / "renamed.min.js")
    assert len({first, second, ClientAssets(folder).version}) == 3


def test_client_assets_of_a_missing_folder_are_empty(tmp_path: Path) -> None:
    assert ClientAssets(tmp_path / "nowhere").version == ClientAssets(tmp_path).version


def test_gzip_is_reproducible(folder: Path) -> None:
    text = (folder / "thumbstream.min.js").read_bytes()
    assert ClientAssets(folder)._files["thumbstream.min.js"].gzipped == gzip.compress(
        text, 9, mtime=0
    )
