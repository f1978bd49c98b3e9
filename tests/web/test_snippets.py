"""The snippets of docs/javascript.md that a browser runs, on a page of another host.

tests/npm builds those of the frameworks.
"""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.template import Context, Engine
from jinja2 import Environment
from PIL import Image
from playwright.sync_api import Browser, Route
from web.browser_page import BrowserPage

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "javascript.md").read_text()
SNIPPETS: dict[str, list[tuple[str, str]]] = {
    heading: re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    for heading, _, section in (
        part.partition("\n") for part in re.split("^## ", DOCUMENT, flags=re.MULTILINE)
    )
}
"""By heading: (language, code) pairs."""

THUMBS = "https://thumbs.example/"
"""The address of the service in the document."""

TITLE = 'A "lake" at <dawn> & dusk'


def with_jinja(text: str, values: dict[str, Any]) -> str:
    return Environment(autoescape=True).from_string(text).render(values)


def with_django(text: str, values: dict[str, Any]) -> str:
    if not settings.configured:
        settings.configure(USE_I18N=False)
    return str(Engine().from_string(text).render(Context(values)))


def snippet(heading: str, language: str, number: int = 0) -> str:
    return [text for kind, text in SNIPPETS[heading] if kind == language][number]


def photograph() -> bytes:
    y, x = np.mgrid[0:40, 0:60]
    pixels = np.stack([4 * x, 6 * y, 200 - 2 * x], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def view(browser: Browser, service: str) -> Iterator[BrowserPage]:
    """A page on which the hosts of the document respond: the service, and a site with pictures."""
    context = browser.new_context()
    page = BrowserPage(context, service)

    def from_service(route: Route) -> None:
        answer = route.fetch(url=route.request.url.replace(THUMBS, f"{service}/"))
        route.fulfill(response=answer)

    page.page.route(f"{THUMBS}**", from_service)
    page.fulfill("**/*.jpg", body=photograph(), content_type="image/jpeg")
    yield page
    page.page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert page.errors == []


def upload(service: str, seed: int) -> dict[str, Any]:
    picture = Image.effect_noise((48, 32), 20 + 30 * seed).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    request = urllib.request.Request(
        f"{service}/compress", buffer.getvalue(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def show(view: BrowserPage, html: str) -> BrowserPage:
    """Open a page with this HTML; its images may be held."""
    view.page.route(
        "**/page.html", lambda route: route.fulfill(body=html, content_type="text/html")
    )
    view.page.goto(f"{view.origin}/page.html", wait_until="domcontentloaded")
    return view


def test_one_attribute(view: BrowserPage) -> None:
    install, paste = snippet("1. Install", "html"), snippet("3. Paste this", "html")
    release = view.hold("**/lake.jpg")
    show(view, install + paste).wait_for(" preview")
    assert view.boxes() == [[300, 200]]
    release()
    view.wait_for(" load")
    assert view.evaluate("document.images[0].naturalWidth") == 60
    assert view.image_names() == ["A lake at dawn"]
    assert view.shifts() == []


def test_script_that_blocks_rendering(view: BrowserPage) -> None:
    script = snippet("What is loaded, and when", "html")
    view.page.route("**/lake.jpg", lambda route: None)
    show(view, script + snippet("3. Paste this", "html")).wait_for(" preview")


def test_many_pictures(view: BrowserPage, service: str) -> None:
    ids = [upload(service, seed)["id"] for seed in range(3)]
    view.page.route("**/lake.jpg", lambda route: None)
    images = "".join(
        f'<img id="{id_}" src="/lake.jpg" alt="" width="30" height="20">' for id_ in ids
    )
    show(view, snippet("1. Install", "html") + images)
    view.evaluate(
        """(ids) => void Object.assign(globalThis, { ids, images: Object.fromEntries(
             ids.map((id) => [id, document.getElementById(id)])) })""",
        ids,
    )
    view.page.add_script_tag(content=snippet("Many pictures", "js"), type="module")
    view.wait_for(*(f"{id_} preview" for id_ in ids))


@pytest.mark.parametrize("render", [with_jinja, with_django])
def test_templates(
    view: BrowserPage, service: str, render: Callable[[str, dict[str, Any]], str]
) -> None:
    answer = upload(service, 0)
    photo = {
        "preview": answer["prefix_base64"],
        "url": answer["url"],
        "file": "/lake.jpg",
        "title": TITLE,
        "width": 60,
        "height": 40,
    }
    template = snippet("Django, Jinja", "html")
    values = {"thumbs": THUMBS.rstrip("/"), "photos": [photo, photo]}
    release = view.hold("**/lake.jpg")
    show(view, "<!doctype html>" + render(template, values)).wait_for(" preview")
    release()
    view.wait_for(" load")
    assert view.image_names() == [TITLE, TITLE]
    assert view.boxes() == [[60, 40], [60, 40]]
    assert view.shifts() == []
