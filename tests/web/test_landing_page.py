"""The landing page in Chromium, with a running service and the published model."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from blurhash_rs import blurhash_decode, blurhash_encode
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

import thumbstream
from thumbstream.codec import quality
from thumbstream_models.evaluate import metrics

TIMEOUT_MS = 60_000
"""Long, because the machine may be busy; a wrong page fails anyway."""

WEB = Path(__file__).resolve().parents[2] / "service" / "thumbstream" / "web"

CLIENT = "thumbstream-2"
"""The model that the browser decodes."""

FINISHED = (
    "body:has(#bytes:enabled):has(#stream[aria-busy=false])"
    ":has(#thumbhash[aria-busy=false]):has(#blurhash[aria-busy=false]):has(#webp[aria-busy=false])"
)

INITIAL_BYTES = 24
PANELS = ("original", "stream", "thumbhash", "blurhash", "webp")


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, service: str) -> Iterator[Open]:
    """Open the page with the given context options.

    There must be no script error and no request to another host.
    """
    errors: list[str] = []
    contexts = []

    def open_(width: int = 1280, height: int = 900, **options: str) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: _judge(request.url))
        page.goto(service)
        return page

    def _judge(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != service:
            errors.append(f"requested {url}")

    expect.set_options(timeout=TIMEOUT_MS)
    yield open_
    for context in contexts:
        context.close()
    assert errors == []


def png(width: int = 96, height: int = 64) -> bytes:
    """A synthetic picture: a disk on a gradient."""
    y, x = np.mgrid[0:height, 0:width]
    disk = np.hypot(x - width * 0.6, y - height * 0.45) < height * 0.3
    pixels = np.stack(
        [x * 255 // width, y * 255 // height, np.where(disk, 230, 90) + 0 * x], axis=-1
    ).astype(np.uint8)
    pixels[disk, 0] = 250
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def ball(width: int = 96, height: int = 64) -> Image.Image:
    """The disk of `png` on a transparent background."""
    y, x = np.mgrid[0:height, 0:width]
    picture = Image.open(io.BytesIO(png(width, height))).convert("RGBA")
    away = np.hypot(x - width * 0.6, y - height * 0.45) - height * 0.3
    picture.putalpha(Image.fromarray((255 * np.clip(0.5 - away / 4, 0, 1)).astype(np.uint8)))
    return picture


def file_of(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def choose(page: Page, body: bytes, name: str = "disk.png", media_type: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": body})


def compared(page: Page, body: bytes | None = None) -> Page:
    choose(page, png() if body is None else body)
    page.wait_for_selector(FINISHED)
    return page


def numbers(page: Page, panel: str) -> list[str]:
    return page.locator(f"#{panel} dd").all_text_contents()


def pixels_of(page: Page, panel: str) -> NDArray[np.uint8]:
    """The pixels of a panel: (H, W, 3) uint8."""
    return rgba_of(page, panel)[..., :3]


def rgba_of(page: Page, panel: str) -> NDArray[np.uint8]:
    """The same with its alpha: (H, W, 4) uint8."""
    width, height, samples = page.evaluate(
        """(panel) => {
          const canvas = document.querySelector(`#${panel} canvas`);
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          return [width, height, [...data]];
        }""",
        panel,
    )
    return np.array(samples, np.uint8).reshape(height, width, 4)


def line(page: Page, name: str) -> str:
    return page.locator(f'[data-line="{name}"] code').text_content() or ""


def length_of(page: Page) -> int:
    return int(page.locator("#ticks button").last.get_attribute("value") or 0)


def test_shows_a_photograph_at_first_without_an_upload(open_page: Open) -> None:
    page = open_page()
    uploads: list[str] = []
    page.on("request", lambda request: uploads.append(request.method))
    page.wait_for_selector(FINISHED)
    expect(page.locator("#alert")).to_be_hidden()
    expect(page.locator("#original .note")).to_have_text("600 \u00d7 400 pixels")
    count, similarity, noise = numbers(page, "stream")
    assert count == str(INITIAL_BYTES)
    assert 0.3 < float(similarity) <= 1
    assert 12 < float(noise) < 60
    assert numbers(page, "thumbhash")[0] == "21"
    assert int(numbers(page, "blurhash")[0]) <= INITIAL_BYTES
    before = line(page, "snippet")
    page.get_by_role("button", name="Astronaut").click()
    page.wait_for_selector(FINISHED)
    expect(page.locator("#photograph")).to_have_attribute("alt", re.compile("astronaut"))
    expect(page.locator('[data-line="snippet"]')).to_contain_text("astronaut.jpg")
    assert line(page, "snippet") != before
    assert "POST" not in uploads


def test_streams_of_the_photographs_are_those_of_the_default_model(service: str) -> None:
    """After a change of the codec: python docs/photographs/make.py."""
    text = (WEB / "samples.generated.js").read_text()
    samples = json.loads(text[text.index("[") : text.rindex(",")] + "]")
    with urllib.request.urlopen(f"{service}/models") as response:
        default = json.load(response)["default"]
    for sample in samples:
        photograph = Image.open(WEB / "samples" / f"{sample['name']}.jpg")
        assert photograph.size == (sample["width"], sample["height"])
        assert (WEB / "samples" / f"{sample['name']}.jpg").stat().st_size == sample["bytes"]
        assert sample["bytes"] < 60_000
        stream = base64.b64decode(sample["stream"])
        assert thumbstream.inspect(stream)["model"] == default
        preview = thumbstream.decode(stream)
        height, width = preview.shape[:2]
        reference = photograph.resize((width, height), Image.Resampling.LANCZOS)
        assert float(metrics.ssim(np.asarray(reference), preview)) > 0.85, sample["name"]


def test_snippet_works_as_it_is(open_page: Open, service: str) -> None:
    """In another page, with the line that installs it."""
    page = open_page()
    page.wait_for_selector(FINISHED)
    expect(page.locator('[data-line="snippet"]')).to_contain_text("data-thumb=")
    html = f"<!doctype html>{line(page, 'install')}{line(page, 'snippet')}"
    assert "coffee.jpg" in html
    page.route("**/copied.html", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{service}/copied.html")
    page.wait_for_function("document.querySelector('img').naturalWidth === 600")
    box = page.locator("img").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (600, 400)


def test_snippet_of_an_upload_has_its_stream(open_page: Open, service: str) -> None:
    page = compared(open_page())
    expect(page.locator('[data-line="snippet"]')).to_contain_text("disk.png")
    snippet = line(page, "snippet")
    inlined, address = (
        re.search(f'{name}="([^"]*)"', snippet).group(1)  # type: ignore[union-attr]
        for name in ("data-thumb", "data-thumb-src")
    )
    with urllib.request.urlopen(f"{address}?bytes={INITIAL_BYTES}") as response:
        assert base64.b64decode(inlined) == response.read()
    live = page.locator("#live img")
    expect(live).to_have_attribute("data-thumb-src", address)
    expect(live).to_have_attribute("src", re.compile("^blob:"))


def test_throttled_connection(open_page: Open) -> None:
    """At 400 kbit/s the photograph of 54,372 bytes takes 1.1 s."""
    page = open_page()
    page.wait_for_selector(FINISHED)
    switch = page.get_by_role("switch", name="Throttle my connection")
    uncovered = "getComputedStyle(document.querySelector('#stream .photograph')).clipPath"
    start = time.monotonic()
    switch.check()
    assert page.evaluate(uncovered) != "none"
    expect(page.locator("#link")).to_contain_text("took 1.1 s")
    assert time.monotonic() - start > 1.0
    expect(page.locator(".photograph:visible")).to_have_count(len(PANELS))
    page.get_by_role("button", name="64 bytes").click()
    expect(page.locator(".photograph:visible")).to_have_count(1)
    page.select_option("#rate", "1600")
    expect(page.locator("#link")).to_contain_text("took 0.3 s")
    switch.uncheck()
    expect(page.locator(".photograph:visible")).to_have_count(1)
    expect(page.locator("#again")).to_be_disabled()


def test_blurhash_is_that_of_its_own_decoder(open_page: Open) -> None:
    page = open_page()
    picture = np.asarray(Image.open(io.BytesIO(png(32, 21))).convert("RGBA"))
    decoded = page.evaluate(
        """async (samples) => {
          const { analyse, decode, quantize } = await import("/web/blurhash.js");
          const picture = { width: 32, height: 21, data: Uint8ClampedArray.from(samples) };
          return [...decode(quantize(analyse(picture), 4, 3), 32, 21)];
        }""",
        picture.ravel().tolist(),
    )
    text = blurhash_encode(Image.fromarray(picture).convert("RGB"), 4, 3)
    expected = np.asarray(blurhash_decode(text, 32, 21)).astype(int)[..., :3]
    shown = np.array(decoded).reshape(21, 32, 4)[..., :3]
    np.testing.assert_allclose(shown, expected, atol=2)


def test_pixels_and_numbers_are_correct(open_page: Open, service: str) -> None:
    page = compared(open_page())
    identity = line(page, "id")
    with urllib.request.urlopen(f"{service}/decode/{identity}?bytes=24&format=png") as response:
        decoded = np.asarray(Image.open(io.BytesIO(response.read())).convert("RGB"))
    np.testing.assert_allclose(pixels_of(page, "stream"), decoded.astype(float), atol=1)
    reference = pixels_of(page, "original")
    for panel in ("stream", "thumbhash", "blurhash", "webp"):
        shown = pixels_of(page, panel)
        assert numbers(page, panel)[1:] == [
            f"{float(metrics.ssim(reference, shown)):.3f}",
            f"{float(metrics.psnr(reference, shown)):.1f}",
        ], panel


def test_browser_decodes_the_published_model(open_page: Open, service: str) -> None:
    page = open_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(urlsplit(request.url).path))
    page.route(
        "**/compress*", lambda route: route.continue_(url=f"{route.request.url}&model={CLIENT}")
    )
    compared(page)
    page.locator("#ticks button").last.click()
    expect(page.locator("#stream dd").first).to_have_text(str(length_of(page)))
    expect(page.locator("#stream[aria-busy=false]")).to_be_visible()
    assert requested.count(f"/thumb/{line(page, 'id')}") == 1
    assert not any(path.startswith("/decode") for path in requested)
    with urllib.request.urlopen(f"{service}/decode/{line(page, 'id')}?format=png") as response:
        decoded = np.asarray(Image.open(io.BytesIO(response.read())).convert("RGB"))
    np.testing.assert_allclose(pixels_of(page, "stream"), decoded.astype(float), atol=1)


def test_lines_to_copy(open_page: Open, service: str) -> None:
    page = compared(open_page())
    identity = line(page, "id")
    assert len(identity) == 22
    assert line(page, "curl").startswith(f"curl '{service}/thumb/{identity}?bytes=24'")
    with urllib.request.urlopen(line(page, "image")) as response:
        assert Image.open(io.BytesIO(response.read())).size == (256, 168)
    page.get_by_text("Addresses of your picture").click()
    button = page.get_by_role("button", name="Copy: Id")
    button.click()
    expect(page.locator("#status")).to_have_text("Id copied")


def test_keyboard_reaches_every_byte(open_page: Open) -> None:
    page = compared(open_page())
    slider, count = page.get_by_role("slider", name="Bytes"), page.locator("#count")
    length = length_of(page)
    slider.focus()
    for key, expected in [
        ("Home", 1),
        ("ArrowRight", 2),
        ("PageUp", 10),
        ("ArrowLeft", 9),
        ("End", length),
    ]:
        page.keyboard.press(key)
        expect(count).to_have_text(f"{expected} of {length}")
        expect(page.locator("#stream dd").first).to_have_text(str(expected))
    expect(slider).to_have_attribute("aria-valuetext", f"{length} of {length} bytes")
    assert f"bytes={length}" in line(page, "curl")
    expect(page.locator("#status")).to_contain_text(f"thumbstream {length} bytes, SSIM 0.")


def test_webp_is_the_longest_file_within_the_bytes_or_the_shortest(open_page: Open) -> None:
    page = compared(open_page())
    page.get_by_role("button", name="12 bytes").click()
    expect(page.locator("#webp .note")).to_contain_text("smallest:")
    smallest = int(numbers(page, "webp")[0])
    expect(page.locator("#webp .note")).to_have_text(f"smallest: {smallest - 12} over")
    page.locator("#ticks button").last.click()
    length = length_of(page)
    expect(page.locator("#stream dd").first).to_have_text(str(length))
    fitting = int(numbers(page, "webp")[0])
    assert smallest <= fitting <= max(smallest, length)


def test_playback_ends_with_the_complete_stream(open_page: Open) -> None:
    page = compared(open_page())
    page.get_by_role("button", name="Watch it sharpen").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator("#count")).to_have_text(f"{length_of(page)} of {length_of(page)}")
    expect(page.get_by_role("button", name="Watch it sharpen")).to_be_visible()


def test_playback_with_reduced_motion(open_page: Open) -> None:
    page = compared(open_page(reduced_motion="reduce"))
    page.evaluate(
        """() => {
          const count = document.getElementById("count");
          window.texts = [];
          new MutationObserver(() => window.texts.push(count.textContent))
            .observe(count, { childList: true });
        }"""
    )
    page.get_by_role("button", name="Watch it sharpen").click()
    ticks = page.locator("#ticks button")
    expect(page.locator("#count")).to_have_text(f"{length_of(page)} of {length_of(page)}")
    steps = [f"{tick.get_attribute('value')} of {length_of(page)}" for tick in ticks.all()]
    assert page.evaluate("window.texts") == steps


def test_grid_size_and_pixel_rendering(open_page: Open) -> None:
    page = compared(open_page())
    small = length_of(page), line(page, "id")
    page.get_by_text("Options").click()
    page.get_by_role("radio", name="64").check(force=True)
    page.wait_for_selector(FINISHED)
    assert pixels_of(page, "stream").shape == (43, 64, 3)
    assert length_of(page) > small[0]
    assert line(page, "id") != small[1]
    canvas = page.locator("#stream canvas")
    expect(canvas).to_have_css("image-rendering", "auto")
    page.get_by_role("radio", name="Pixels").check(force=True)
    expect(canvas).to_have_css("image-rendering", "pixelated")
    expect(page.locator("#photograph")).to_have_css("visibility", "hidden")


def test_error_says_what_to_do_and_goes_with_the_next_picture(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(FINISHED)
    choose(page, b"no picture at all", "notes.png")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Choose a JPEG, PNG")
    expect(page.locator("#retry")).to_be_hidden()
    compared(page)
    expect(page.locator("#alert")).to_be_hidden()


def test_continues_when_the_service_is_back(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(FINISHED)
    page.route("**/compress*", lambda route: route.abort())
    page.route("**/healthz", lambda route: route.abort())
    choose(page, png())
    expect(page.get_by_role("alert")).to_contain_text("Check your connection")
    page.unroute("**/compress*")
    page.unroute("**/healthz")
    expect(page.locator("#alert")).to_be_hidden()
    page.wait_for_selector(FINISHED)
    assert len(line(page, "id")) == 22


def test_error_that_may_pass_can_be_retried(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(FINISHED)
    problem = {
        "title": "Store",
        "detail": "The store does not answer.",
        "code": "store_unavailable",
    }
    page.route("**/compress*", lambda route: route.fulfill(status=503, json=problem))
    choose(page, png())
    expect(page.get_by_role("alert")).to_contain_text("The store does not answer.")
    page.unroute("**/compress*")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(FINISHED)
    expect(page.locator("#alert")).to_be_hidden()


def test_retries_a_busy_service(open_page: Open) -> None:
    page = open_page()
    tries: list[str] = []

    def busy_once(route: Route) -> None:
        tries.append(route.request.method)
        if len(tries) > 1:
            return route.continue_()
        return route.fulfill(status=429, headers={"Retry-After": "0"}, json={"title": "Busy"})

    page.route("**/compress*", busy_once)
    compared(page)
    assert tries == ["POST", "POST"]
    expect(page.locator("#alert")).to_be_hidden()


def test_format_that_the_browser_cannot_decode(open_page: Open) -> None:
    page = open_page()
    tiff = io.BytesIO()
    Image.open(io.BytesIO(png())).save(tiff, "TIFF")
    choose(page, tiff.getvalue(), "scan.tiff", "image/tiff")
    page.wait_for_selector(FINISHED)
    expect(page.locator("#original .message")).to_contain_text("cannot show this format")
    assert pixels_of(page, "stream").shape == (21, 32, 3)
    assert numbers(page, "stream") == ["24", "\u2013", "\u2013"]


def test_browser_without_a_webp_encoder(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          const original = OffscreenCanvas.prototype.convertToBlob;
          OffscreenCanvas.prototype.convertToBlob = function () {
            return original.call(this, { type: "image/png" });
          };
        }"""
    )
    compared(page)
    expect(page.locator("#webp .message")).to_have_text("This browser cannot encode WebP.")


def test_no_horizontal_overflow(open_page: Open) -> None:
    page = open_page()

    def overflowing() -> list[str]:
        found: list[str] = page.evaluate(
            """() => [...document.querySelectorAll(":root, button, label, input")]
              .filter((element) => !element.matches(".unseen, .unseen *"))
              .filter((element) => element.getBoundingClientRect().right > innerWidth
                || element.matches(":root") && element.scrollWidth > innerWidth)
              .map((element) => element.outerHTML.slice(0, 120))"""
        )
        return found

    def check() -> None:
        for width in (1440, 768, 390, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert overflowing() == [], width

    check()
    compared(page)
    check()


def test_slider_does_not_shift_the_layout(open_page: Open) -> None:
    page = compared(open_page())
    places = """() => [...document.querySelectorAll(".panel, .frame, .control, .results")]
      .map((element) => element.getBoundingClientRect())
      .map(({ x, y, width, height }) => JSON.stringify([x, y + scrollY, width, height]))"""
    before = page.evaluate(places)
    for name in ("12 bytes", f"All {length_of(page)} bytes"):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#stream[aria-busy=false]")).to_be_visible()
        assert page.evaluate(places) == before


def test_transparent_stream(open_page: Open) -> None:
    """With the responses of a model with alpha, whose previews are measured with their alpha."""
    page = open_page()
    page.wait_for_selector(FINISHED)
    page.evaluate("document.getElementById('client').href = '/missing'")  # the service decodes
    page.route("**/compress*", lambda route: _as_with_alpha(route))
    shown = file_of(ball(32, 21))
    page.route("**/decode/*", lambda route: route.fulfill(body=shown, content_type="image/png"))
    compared(page, file_of(ball()))
    expect(page.locator(".panels")).to_have_class("panels transparent")
    reference = rgba_of(page, "original")
    assert (reference[..., 3] == 0).sum() > 200
    assert reference[..., 3].max() == 255
    for panel in ("stream", "webp"):
        shown = rgba_of(page, panel)
        assert shown[0, 0, 3] == 0, panel
        assert shown[..., 3].max() == 255, panel
        assert numbers(page, panel)[1:] == [
            f"{float(quality.ssim(reference, shown)):.3f}",
            f"{float(quality.psnr(reference, shown)):.1f}",
        ], panel
    assert rgba_of(page, "thumbhash")[0, 0, 3] < 128


def _as_with_alpha(route: Route) -> None:
    response = route.fetch()
    route.fulfill(response=response, json={**response.json(), "alpha": True})


def test_flattened_stream_is_on_white(open_page: Open) -> None:
    page = open_page()
    page.route(
        "**/compress*", lambda route: route.continue_(url=f"{route.request.url}&alpha=flatten")
    )
    compared(page, file_of(ball()))
    expect(page.locator(".panels")).to_have_class("panels")
    for panel in PANELS:
        assert (rgba_of(page, panel)[..., 3] == 255).all(), panel
    assert (pixels_of(page, "original")[-1, 0] == 255).all()


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (90, 90), (300, 60)])
def test_panels_have_the_aspect_ratio_of_the_picture(
    open_page: Open, width: int, height: int
) -> None:
    """Not that of the grid."""
    page = open_page()
    with page.expect_response("**/compress*") as answer:
        compared(page, png(width, height))
    across, down = answer.value.json()["aspect_ratio"]
    for panel in PANELS:
        box = page.locator(f"#{panel} canvas").bounding_box()
        frame = page.locator(f"#{panel} .frame").bounding_box()
        assert box is not None
        assert frame is not None
        assert box["width"] / box["height"] == pytest.approx(across / down, rel=0.01)
        fills = box["width"] / frame["width"], box["height"] / frame["height"]
        assert max(fills) == pytest.approx(1, abs=0.01)


def test_asks_for_a_token(open_page: Open) -> None:
    page = open_page()
    shown: list[str | None] = []

    def guarded(route: Route) -> None:
        shown.append(route.request.headers.get("authorization"))
        if shown[-1] == "Bearer secret":
            return route.continue_()
        problem = {"title": "Unauthorized", "detail": "A token is needed.", "code": "unauthorized"}
        return route.fulfill(status=401, json=problem)

    page.route("**/compress*", guarded)
    field = page.get_by_label("Token")
    expect(field).to_be_hidden()
    choose(page, png())
    expect(page.get_by_role("alert")).to_contain_text("need a token")
    expect(field).to_be_focused()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        box = field.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("need a token")
    field.fill("secret")
    page.keyboard.press("Enter")
    page.wait_for_selector(FINISHED)
    expect(page.locator("#alert")).to_be_hidden()
    assert shown == [None, "Bearer wrong", "Bearer secret"]
