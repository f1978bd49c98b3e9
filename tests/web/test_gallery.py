"""The gallery in a real Chromium, against the real service with the published model."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Route

sys.path.insert(0, str(Path(__file__).resolve().parent))

from client_harness import Shown

MANY = 60
SHAPES = ((96, 64), (64, 96), (80, 80), (110, 60))
DESKTOP = (1280, 900)
PHONE = (390, 844)

SHOWN = "document.body.dataset.state === 'shown'"
FIGURES = """Object.fromEntries([...document.querySelectorAll("#figures [data-way]")].map((row) =>
  [row.dataset.way, Object.fromEntries([...row.querySelectorAll("td")].map((cell) =>
    [cell.dataset.figure, cell.textContent]))]))"""
PAINTED = """[...document.querySelectorAll(".tile thumb-stream")].filter(
  (element) => element.naturalWidth > 0).length"""
"""How many pictures have a preview."""

DROP = """([names, bodies]) => {
  const carried = new DataTransfer();
  names.forEach((name, i) => {
    const body = Uint8Array.from(atob(bodies[i]), (letter) => letter.charCodeAt(0));
    carried.items.add(new File([body], name, { type: name.endsWith("txt") ? "" : "image/png" }));
  });
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


class Gallery(Shown):
    """The page, and what its table says."""

    def take(self, count: int) -> Gallery:
        """Choose so many pictures, and wait until they are shown and measured."""
        files = [
            {"name": f"p{i}.png", "mimeType": "image/png", "buffer": picture(i)}
            for i in range(count)
        ]
        self.page.set_input_files("#files", files)  # type: ignore[arg-type]
        self.rest()
        return self

    def rest(self) -> None:
        """Wait until nothing is loaded or measured any more."""
        self.page.wait_for_timeout(200)
        self.until(SHOWN)

    def figures(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = self.ask(FIGURES)
        return found

    def number(self, way: str, figure: str) -> float:
        return float(self.figures()[way][figure].replace(",", ""))


def picture(seed: int) -> bytes:
    """A synthetic picture, another one for every seed: a disk before a soft ground."""
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
    """The page, opened; at the end it must have been quiet, and have asked no other host."""
    shown = Gallery(context, service)
    shown.page.goto(f"{service}/gallery")
    yield shown
    assert shown.complaints == []
    own = ("blob:", "data:", "/")  # Shown leaves out this service's origin
    assert [url for url, _ in shown.asked if not url.startswith(own)] == []


def milliseconds(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * {"ms": 1, "s": 1000}[unit]


def fail(gallery: Gallery, wanted: int, **problem: Any) -> None:
    """Let the first so many uploads fail."""
    left = [wanted]

    def answer(route: Route) -> None:
        if left[0] == 0:
            route.fallback()
            return
        left[0] -= 1
        body = json.dumps(problem)
        route.fulfill(status=problem["status"], body=body, content_type="application/problem+json")

    gallery.page.route("**/compress?*", answer)


def test_a_folder_becomes_a_page_on_which_nothing_moves(gallery: Gallery) -> None:
    gallery.take(MANY)
    assert gallery.ask("document.querySelectorAll('.tile').length") == MANY
    assert gallery.ask(PAINTED) == MANY
    ratios = sorted(round(width / height, 1) for width, height in gallery.boxes())
    assert ratios == sorted(round(w / h, 1) for w, h in SHAPES * (MANY // len(SHAPES)))
    assert gallery.shifts() == []
    figures = gallery.figures()
    assert 0 < gallery.number("stream", "bytes") <= MANY * 64
    for way in ("stream", "hash", "webp"):
        assert "\u2013" not in figures[way].values()
        assert 0 < gallery.number(way, "ssim") <= 1
    assert gallery.number("stream", "ssim") > gallery.number("hash", "ssim")


def test_dropped_files_are_taken_and_others_left(gallery: Gallery) -> None:
    bodies = [base64.b64encode(picture(i)).decode() for i in range(3)]
    gallery.ask(DROP, [["a.png", "notes.txt", "b.png"], bodies])
    gallery.rest()
    assert gallery.ask("document.querySelectorAll('.tile').length") == 2
    assert {"a", "b"} <= set(gallery.names())
    assert not gallery.page.is_visible("#alert")


def test_a_picture_that_comes_twice_is_shown_once(gallery: Gallery) -> None:
    same = base64.b64encode(picture(0)).decode()
    gallery.ask(DROP, [["a.png", "b.png"], [same, same]])
    gallery.rest()
    assert gallery.ask("document.querySelectorAll('.tile').length") == 1
    assert gallery.page.inner_text("#status") == "1 picture; 1 came more than once"


def test_streams_that_do_not_come_are_said(gallery: Gallery) -> None:
    gallery.answer("**/thumbs?*", status=503)
    gallery.take(2)
    assert "The previews cannot be shown" in gallery.page.inner_text("#alert")
    assert gallery.page.is_disabled("#budget")


def test_the_slider_spends_more_and_less(gallery: Gallery) -> None:
    gallery.take(6)
    usual = gallery.figures()["stream"]
    gallery.page.focus("#budget")
    gallery.page.keyboard.press("End")
    gallery.rest()
    whole = gallery.figures()["stream"]
    assert gallery.ask(PAINTED) == 6
    for _ in range(60):
        gallery.page.keyboard.press("PageDown")
    gallery.rest()
    few = gallery.figures()["stream"]
    assert int(few["bytes"]) < int(usual["bytes"]) < int(whole["bytes"].replace(",", ""))
    assert float(few["ssim"]) < float(usual["ssim"]) < float(whole["ssim"])
    gallery.page.keyboard.press("Home")
    gallery.rest()
    assert int(gallery.figures()["stream"]["bytes"]) <= 6
    assert "1 B a picture, 6 B in all" in gallery.page.inner_text("#count")


def test_without_curves_all_get_the_same(gallery: Gallery) -> None:
    gallery.answer("**/budget", json={"thumbs": {}, "urls": [], "without_curve": ["any"]})
    gallery.take(3)
    assert gallery.figures()["stream"]["bytes"] == str(3 * 64)
    assert "equal shares" in gallery.page.inner_text("#split")


def test_a_failed_upload_is_said_and_can_be_repeated(gallery: Gallery) -> None:
    fail(gallery, 2, status=422, code="invalid_image", title="No", detail="the picture is broken")
    gallery.take(5)
    assert gallery.ask("document.querySelectorAll('.tile').length") == 3
    said = gallery.page.inner_text("#alert")
    assert "2 of 5 pictures could not be uploaded" in said
    assert said.count("the picture is broken") == 2
    gallery.page.click("#retry")
    gallery.rest()
    assert gallery.ask("document.querySelectorAll('.tile').length") == 5
    assert not gallery.page.is_visible("#alert")


def test_a_token_is_asked_for_and_sent(gallery: Gallery) -> None:
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
    assert gallery.ask(PAINTED) == 3
    assert set(sent) == {None, "Bearer secret"}


def test_a_slow_link_is_simulated(gallery: Gallery) -> None:
    gallery.take(6)
    gallery.page.check("[name=network][value=very-slow]", force=True)
    last = "document.querySelector('[data-way=webp] [data-figure=ssim]').textContent"
    gallery.until(f"parseFloat({last}) > 0")
    for way in ("stream", "hash", "webp"):
        figures = gallery.figures()[way]
        needed = 8 * int(figures["bytes"]) / 50  # milliseconds
        assert milliseconds(figures["all"]) >= 0.99 * needed - 1
        assert milliseconds(figures["first"]) < milliseconds(figures["all"])


def test_side_by_side_and_then_the_pictures_themselves(gallery: Gallery) -> None:
    gallery.take(4)
    gallery.complete()
    full = "[...document.querySelectorAll('.tile thumb-stream')].map((e) => e.naturalWidth > 32)"
    assert gallery.ask(full) == [True] * 4
    assert not gallery.page.is_visible(".view.webp")
    gallery.page.check("[name=view][value=all]", force=True)
    gallery.rest()
    assert gallery.ask("document.querySelectorAll('.view canvas:not([hidden])').length") == 8
    assert gallery.page.is_visible(".view.webp canvas")
    assert gallery.ask(full) == [False] * 4


@pytest.mark.parametrize("context", [PHONE], indirect=True)
def test_a_phone_has_two_columns_and_nothing_beside_the_page(gallery: Gallery) -> None:
    gallery.take(8)
    assert gallery.ask("document.querySelectorAll('#grid > div').length") == 2
    root = "document.documentElement"
    assert gallery.ask(f"{root}.scrollWidth <= {root}.clientWidth")
    assert gallery.shifts() == []


def test_streams_of_models_without_browser_weights_are_shown(gallery: Gallery) -> None:
    def with_model(route: Route) -> None:
        route.continue_(url=f"{route.request.url}&model=conv-lstm-1")

    gallery.page.route("**/compress?*", with_model)
    gallery.take(3)
    assert gallery.ask(PAINTED) == 3
    assert gallery.ask("document.getElementById('alert').hidden") is True
    assert gallery.number("stream", "ssim") > 0.3
    assert any(path == "/decode?format=png" for path, _ in gallery.asked)


def test_before_an_upload_there_are_drawn_pictures(gallery: Gallery, service: str) -> None:
    gallery.until("document.querySelectorAll('.drawn').length === 8")
    assert [url for url, _ in gallery.asked if "compress" in url] == []
    assert gallery.shifts() == []
    gallery.page.click("nav a")
    gallery.page.wait_for_url(f"{service}/")
    gallery.page.click("nav a")
    gallery.page.wait_for_url(f"{service}/gallery")
