from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from service_harness import Running
from starlette.requests import Request

from thumbstream.http.errors import NotFoundError
from thumbstream.http.static import CONTENT_SECURITY_POLICY, StaticPages


def ask(path: str, **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "path_params": {"path": path}, "headers": fields})


@pytest.fixture
def pages(tmp_path: Path) -> StaticPages:
    web = tmp_path / "web"
    (web / "deep").mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html>page")
    (web / "app.js").write_text("export {}")
    (web / "deep" / "icon.svg").write_text("<svg/>")
    (web / "photo.jpg").write_text("jpeg")
    (web / "package.json").write_text("{}")
    (tmp_path / "secret.js").write_text("secret")
    return StaticPages(root=web)


async def test_page_and_assets(pages: StaticPages) -> None:
    page = await pages.index(ask(""))
    assert page.body == b"<!doctype html>page"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    script = await pages.asset(ask("app.js"))
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    icon = await pages.asset(ask("deep/icon.svg"))
    assert icon.headers["content-type"] == "image/svg+xml"
    for answer in (page, script, icon):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "public, max-age=60, must-revalidate"


async def test_assets_are_revalidated(pages: StaticPages) -> None:
    etag = (await pages.asset(ask("app.js"))).headers["etag"]
    answer = await pages.asset(ask("app.js", if_none_match=etag))
    assert (answer.status_code, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag


@pytest.mark.parametrize(
    "path",
    ["", "nope.js", "../secret.js", "deep/../../secret.js", "package.json", "deep", "/app.js"],
)
async def test_unknown_files_are_not_found(pages: StaticPages, path: str) -> None:
    with pytest.raises(NotFoundError):
        await pages.asset(ask(path))


async def test_text_is_gzipped_and_pictures_are_not(pages: StaticPages) -> None:
    packed = await pages.asset(ask("app.js", accept_encoding="gzip"))
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == b"export {}"
    plain = await pages.asset(ask("photo.jpg", accept_encoding="gzip"))
    assert plain.headers["content-type"] == "image/jpeg"
    assert plain.body == b"jpeg"


async def test_html_has_the_root_path_and_the_version_of_the_client(tmp_path: Path) -> None:
    html = '<a href="/x"><link href="/client/a.js">'
    (tmp_path / "index.html").write_text(html)
    page = await StaticPages("/root", "0123", root=tmp_path).index(ask(""))
    assert page.body == b'<a href="/root/x"><link href="/root/client/0123/a.js">'


@pytest.mark.parametrize("path", ["/", "/gallery"])
async def test_published_pages_are_served(running: Running, path: str) -> None:
    answer = await running.http.get(path)
    assert "<!doctype html>" in answer.text
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert (await running.http.get("/web/nothing.js")).status_code == 404
