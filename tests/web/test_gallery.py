"""The gallery in Chromium, with a running service and the published model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Route
from web.browser_page import BrowserPage

MANY = 60
SHAPES = ((96, 64), (64, 96), (80, 80), (110, 60))
DESKTOP = (1280, 900)
PHONE = (390, 844)

SHOWN = "document.body.dataset.state === 'shown'"
FIGURES = """Object.fromEntries([...document.querySelectorAll("#figures [data-way]")].map((row) =>
  [row.dataset.way, Object.fromEntries([...row.querySelectorAll("td")].map((cell) =>
    [cell.dataset.figure, cell.textContent]))]))"""
PAINTED = """[...document.querySelectorAll(".view.stream canvas")].filter(
  (canvas) => canvas.width > 0).length"""
"""Number of pictures with a preview."""

BOXES = """[...document.querySelectorAll(".view.stream")].map((view) =>
  [view.clientWidth, view.clientHeight])"""

DROP = """([names, bodies]) => {
  const transfer = new DataTransfer();
  names.forEach((name, i) => {
    const body = Uint8Array.from(atob(bodies[i]), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([body], name, { type: name.endsWith("txt") ? "" : "image/png" }));
  });
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


class Gallery(BrowserPage):
    """The page and its table."""

    def take(self, count: int) -> Gallery:
        """Choose ``count`` pictures, and wait until they are shown and measured."""
        files = [
            {"name": f"p{i}.png", "mimeType": "image/png", "buffer": picture(i)}
            for i in range(count)
        ]
        self.page.set_input_files("#files", files)  # type: ignore[arg-type]
        self.rest()
        return self

    def rest(self) -> None:
        """Wait until all is loaded and measured."""
        self.page.wait_for_timeout(200)
        self.wait_until(SHOWN)

    def figures(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = self.evaluate(FIGURES)
        return found

    def number(self, way: str, figure: str) -> float:
        return float(self.figures()[way][figure].replace(",", ""))


def picture(seed: int) -> bytes:
    """A synthetic picture that depends on the seed: a disk on a gradient."""
    width, height = SHAPES[seed % len(SHAPES)]
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    low, high = random.integers(0, 256, (2, 3))
    ramp = ((x / width + y / height) / 2)[..., None]
    pixels = low * (1 - ramp) + high * ramp
    centre = random.uniform(0.2, 0.8, 2)
    disk = np.hypot(x - width * centre[0], y - height * centre[1]) < height * 0.3
    pixels[disk] = random.integers(0, 256, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    width, height = getattr(request, "param", DESKTOP)
    made = browser.new_context(viewport={"width": width, "height": height})
    yield made
    made.close()


@pytest.fixture
def gallery(context: BrowserContext, service: str) -> Iterator[Gallery]:
    """The open page; it must have no errors and no requests to other hosts."""
    shown = Gallery(context, service)
    shown.page.goto(f"{service}/gallery")
    yield shown
    assert shown.errors == []
    own = ("blob:", "data:", "/")  # BrowserPage removes this service's origin
    assert [url for url, _ in shown.requests if not url.startswith(own)] == []


def milliseconds(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * {"ms": 1, "s": 1000}[unit]


def fail(gallery: Gallery, count: int, **problem: Any) -> None:
    """Let the first ``count`` uploads fail."""
    left = [count]

    def answer(route: Route) -> None:
        if left[0] == 0:
            route.fallback()
            return
        left[0] -= 1
        body = json.dumps(problem)
        route.fulfill(status=problem["status"], body=body, content_type="application/problem+json")

    gallery.page.route("**/compress?*", answer)


def test_shows_and_measures_pictures_without_layout_shift(gallery: Gallery) -> None:
    gallery.take(MANY)
    assert gallery.evaluate("document.querySelectorAll('.tile').length") == MANY
    assert gallery.evaluate(PAINTED) == MANY
    boxes = gallery.evaluate(BOXES)
    ratios = sorted(round(width / height, 1) for width, height in boxes)
    assert ratios == sorted(round(w / h, 1) for w, h in SHAPES * (MANY // len(SHAPES)))
    assert gallery.shifts() == []
    figures = gallery.figures()
    assert 0 < gallery.number("stream", "bytes") <= MANY * 64
    for way in ("stream", "hash", "webp"):
        assert "\u2013" not in figures[way].values()
        assert 0 < gallery.number(way, "ssim") <= 1
    assert gallery.number("stream", "ssim") > gallery.number("hash", "ssim")


def test_accepts_dropped_pictures_only(gallery: Gallery) -> None:
    bodies = [base64.b64encode(picture(i)).decode() for i in range(3)]
    gallery.evaluate(DROP, [["a.png", "notes.txt", "b.png"], bodies])
    gallery.rest()
    assert gallery.evaluate("document.querySelectorAll('.tile').length") == 2
    assert {"a", "b"} <= set(gallery.image_names())
    assert not gallery.page.is_visible("#alert")


def test_shows_duplicates_once(gallery: Gallery) -> None:
    same = base64.b64encode(picture(0)).decode()
    gallery.evaluate(DROP, [["a.png", "b.png"], [same, same]])
    gallery.rest()
    assert gallery.evaluate("document.querySelectorAll('.tile').length") == 1
    assert gallery.page.inner_text("#status") == "1 picture; 1 removed as duplicates"


def test_reports_failed_requests_for_streams(gallery: Gallery) -> None:
    gallery.fulfill("**/thumbs?*", status=503)
    gallery.take(2)
    assert "The previews cannot be shown" in gallery.page.inner_text("#alert")
    assert gallery.page.is_disabled("#budget")


def test_slider_changes_the_budget(gallery: Gallery) -> None:
    gallery.take(6)
    usual = gallery.figures()["stream"]
    gallery.page.focus("#budget")
    gallery.page.keyboard.press("End")
    gallery.rest()
    complete = gallery.figures()["stream"]
    assert gallery.evaluate(PAINTED) == 6
    for _ in range(60):
        gallery.page.keyboard.press("PageDown")
    gallery.rest()
    few = gallery.figures()["stream"]
    assert int(few["bytes"]) < int(usual["bytes"]) < int(complete["bytes"].replace(",", ""))
    assert float(few["ssim"]) < float(usual["ssim"]) < float(complete["ssim"])
    gallery.page.keyboard.press("Home")
    gallery.rest()
    assert int(gallery.figures()["stream"]["bytes"]) <= 6
    assert "1 B per picture, 6 B in total" in gallery.page.inner_text("#count")


def test_equal_shares_without_curves(gallery: Gallery) -> None:
    gallery.fulfill("**/budget", json={"thumbs": {}, "urls": [], "without_curve": ["any"]})
    gallery.take(3)
    assert gallery.figures()["stream"]["bytes"] == str(3 * 64)
    assert "equal shares" in gallery.page.inner_text("#split")


def test_failed_uploads_can_be_retried(gallery: Gallery) -> None:
    fail(gallery, 2, status=422, code="invalid_image", title="No", detail="the picture is broken")
    gallery.take(5)
    assert gallery.evaluate("document.querySelectorAll('.tile').length") == 3
    said = gallery.page.inner_text("#alert")
    assert "2 of 5 pictures could not be uploaded" in said
    assert said.count("the picture is broken") == 2
    gallery.page.click("#retry")
    gallery.rest()
    assert gallery.evaluate("document.querySelectorAll('.tile').length") == 5
    assert not gallery.page.is_visible("#alert")


def test_asks_for_a_token(gallery: Gallery) -> None:
    sent = []

    def answer(route: Route) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1]:
            route.fallback()
        else:
            route.fulfill(status=401, body="{}", content_type="application/problem+json")

    gallery.page.route("**/compress?*", answer)
    gallery.take(3)
    gallery.page.fill("#token", "secret")
    gallery.page.press("#token", "Enter")
    gallery.rest()
    assert gallery.evaluate(PAINTED) == 3
    assert set(sent) == {None, "Bearer secret"}


def test_simulates_a_slow_link(gallery: Gallery) -> None:
    gallery.take(16)
    gallery.page.check("[name=network][value=very-slow]", force=True)
    last = "document.querySelector('[data-way=webp] [data-figure=ssim]').textContent"
    gallery.wait_until(f"parseFloat({last}) > 0")
    for way in ("stream", "hash", "webp"):
        figures = gallery.figures()[way]
        needed = 8 * gallery.number(way, "bytes") / 50  # milliseconds
        assert milliseconds(figures["all"]) >= 0.99 * needed - 1
        assert milliseconds(figures["first"]) < milliseconds(figures["all"])


def test_side_by_side_view(gallery: Gallery) -> None:
    gallery.take(4)
    full = "[...document.querySelectorAll('.view.stream')].map((e) => !!e.querySelector('img'))"
    gallery.wait_until(f"{full}.every(Boolean)")
    assert not gallery.page.is_visible(".view.webp")
    gallery.page.check("[name=view][value=all]", force=True)
    gallery.rest()
    assert gallery.evaluate("document.querySelectorAll('.view canvas:not([hidden])').length") == 12
    assert gallery.page.is_visible(".view.webp canvas")
    assert gallery.evaluate(full) == [False] * 4


@pytest.mark.parametrize("context", [PHONE], indirect=True)
def test_two_columns_on_a_phone(gallery: Gallery) -> None:
    gallery.take(8)
    columns = "getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ')"
    assert gallery.evaluate(f"{columns}.length") == 2
    root = "document.documentElement"
    assert gallery.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert gallery.shifts() == []


def test_shows_streams_of_other_models(gallery: Gallery) -> None:
    def with_model(route: Route) -> None:
        route.continue_(url=f"{route.request.url}&model=conv-lstm-1")

    gallery.page.route("**/compress?*", with_model)
    gallery.take(3)
    assert gallery.evaluate(PAINTED) == 3
    assert gallery.evaluate("document.getElementById('alert').hidden") is True
    assert gallery.number("stream", "ssim") > 0.3
    assert any(path == "/decode?format=png" for path, _ in gallery.requests)


def test_shows_photographs_before_an_upload(gallery: Gallery, service: str) -> None:
    gallery.rest()
    gallery.wait_until(f"{PAINTED} === 4")
    assert [url for url, _ in gallery.requests if "compress" in url or "budget" in url] == []
    assert gallery.number("stream", "ssim") > gallery.number("hash", "ssim")
    assert gallery.shifts() == []
    gallery.page.click(".name")
    gallery.page.wait_for_url(f"{service}/")
    gallery.page.click("nav a")
    gallery.page.wait_for_url(f"{service}/gallery")


def test_continues_when_the_service_is_back(gallery: Gallery) -> None:
    for path in ("**/compress?*", "**/healthz"):
        gallery.page.route(path, lambda route: route.abort())
    gallery.page.set_input_files(
        "#files", {"name": "a.png", "mimeType": "image/png", "buffer": picture(1)}
    )
    gallery.wait_until("!document.getElementById('alert').hidden")
    assert "Check your connection" in gallery.page.inner_text("#alert")
    for path in ("**/compress?*", "**/healthz"):
        gallery.page.unroute(path)
    gallery.wait_until("document.getElementById('alert').hidden")
    gallery.rest()
    assert gallery.evaluate(PAINTED) == 1
