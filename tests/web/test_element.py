"""`<thumb-stream>` in Chromium, with the client as the service serves it."""

from __future__ import annotations

import base64
import io
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from web.browser_page import BrowserPage, partial_server

MODEL = "thumbstream-1"
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "javascript.md").read_text()
CSP = "default-src 'none'; script-src 'self' {script}; connect-src 'self'; {more}"

ShowPage = Callable[..., BrowserPage]


def picture(width: int = 300, height: int = 200) -> bytes:
    """A PNG: a disk on a gradient."""
    y, x = np.mgrid[0:height, 0:width]
    disk = np.hypot(x - width * 0.6, y - height * 0.45) < height * 0.3
    pixels = np.stack(
        [x * 255 // width, y * 255 // height, np.where(disk, 230, 90) + 0 * x], axis=-1
    ).astype(np.uint8)
    pixels[disk, 0] = 250
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        body: bytes = response.read()
        return body


@pytest.fixture(scope="session")
def upload(service: str) -> dict[str, Any]:
    """The response of an upload of `picture`, encoded with the model of the client."""
    request = urllib.request.Request(
        f"{service}/compress?model={MODEL}", picture(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


@pytest.fixture(scope="session")
def stream(service: str, upload: dict[str, Any]) -> bytes:
    return get(f"{service}{upload['url']}")


@pytest.fixture
def show(browser: Browser, service: str) -> Iterator[ShowPage]:
    """``show(body)`` opens a page of the service's origin; its scripts must not fail."""
    contexts, pages = [], []

    def show_one(
        body: str | None = None, width: int = 1000, height: int = 800, *,
        options: dict[str, Any] | None = None, **page: str,
    ) -> BrowserPage:  # fmt: skip
        size: Any = {"width": width, "height": height}
        context = browser.new_context(viewport=size, **(options or {}))
        contexts.append(context)
        view = BrowserPage(context, service)
        pages.append(view)
        return view if body is None else view.open(body, **page)

    yield show_one
    for context in contexts:
        context.close()
    assert [page.errors for page in pages if page.errors] == []


def element(identity: str = "it", /, **attributes: object) -> str:
    pairs = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<thumb-stream id="{identity}"{pairs}></thumb-stream>'


def inlined(stream: bytes, count: int) -> str:
    return base64.b64encode(stream[:count]).decode()


def decoded(service: str, upload: dict[str, Any], count: int) -> list[int]:
    """RGBA of a prefix by the service."""
    png = get(f"{service}/decode/{upload['id']}?bytes={count}&format=png")
    return list(Image.open(io.BytesIO(png)).convert("RGBA").tobytes())


def is_close(actual: list[int], expected: list[int]) -> bool:
    return len(actual) == len(expected) and max(
        abs(a - b) for a, b in zip(actual, expected, strict=True)
    ) <= 1  # fmt: skip


PAINTED = "it.shadowRoot.querySelector('canvas').style.background"
"""The color before the first preview."""


def color_of(view: BrowserPage, stream: bytes, count: int) -> str:
    """`averageColor` of a prefix, as the browser formats it."""
    color: str = view.evaluate(
        """(text) => import("/client/element.min.js").then(({ averageColor }) => {
          const box = document.createElement("i");
          box.style.background = averageColor(
            Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
          return box.style.background;
        })""",
        inlined(stream, count),
    )
    return color


def test_preview_has_the_pixels_of_the_service(
    show: ShowPage, service: str, upload: dict[str, Any]
) -> None:
    view = show(element(src=upload["url"], alt="A disk", width=300)).wait_complete()
    assert is_close(view.pixels("it"), decoded(service, upload, 128))
    assert view.ranges(upload["url"]) == ["bytes=0-127"]
    assert view.events() == ["it preview", "it load"]
    assert view.evaluate("[it.complete, it.naturalWidth, it.naturalHeight]") == [True, 32, 21]
    assert view.evaluate("it.decode().then(() => 'decoded')") == "decoded"


def test_shape_and_color_precede_the_weights(
    show: ShowPage, upload: dict[str, Any], stream: bytes
) -> None:
    view = show()
    release = view.hold("**/client.bin")
    view.open(element(stream=inlined(stream, 16), width=300))
    view.wait_until(f"{PAINTED} !== ''")
    assert view.evaluate(PAINTED) == color_of(view, stream, 16)
    assert view.boxes() == [[300, 200]]
    assert view.pixels("it") == []
    assert view.evaluate("[it.complete, it.naturalWidth]") == [False, 0]
    release()
    view.wait_complete()
    assert len(view.pixels("it")) == 4 * 32 * 21
    assert view.evaluate(PAINTED) == ""
    assert view.boxes() == [[300, 200]]
    assert not any(path.startswith("/thumb") for path, _ in view.requests)


@pytest.mark.parametrize(
    ("attributes", "style", "box"),
    [
        ({"width": 300, "height": 100}, "", [300, 100]),
        ({"width": 300}, "", [300, 200]),
        ({"height": 100}, "", [150, 100]),
        ({}, "main { width: 480px }", [480, 320]),
        ({"width": 900}, "main { width: 480px }", [480, 320]),
        ({"width": 300}, "thumb-stream { width: 50%; aspect-ratio: 1 } main { width: 200px }",
         [100, 100]),
        ({}, "thumb-stream { width: 90px; height: 120px }", [90, 120]),
        ({}, "main { display: flex; width: 300px } thumb-stream { flex: 1 }", [300, 200]),
        ({}, "main { display: grid; grid-template-columns: 150px 1fr }", [150, 100]),
    ],
)  # fmt: skip
def test_layout_is_reserved_before_the_weights(
    show: ShowPage, stream: bytes, attributes: dict[str, int], style: str, box: list[float]
) -> None:
    view = show()
    release = view.hold("**/client.bin")
    body = f"<main>{element(stream=inlined(stream, 1), **attributes)}</main>"
    view.open(body, style=style).wait_until("it.matches(':defined')")
    assert view.boxes()[0] == pytest.approx(box, abs=0.01)
    release()
    view.wait_complete()
    assert view.boxes()[0] == pytest.approx(box, abs=0.01)


@pytest.mark.parametrize("width", [1280, 390])
def test_no_layout_shift(show: ShowPage, upload: dict[str, Any], stream: bytes, width: int) -> None:
    view = show(width=width)
    view.fulfill("**/full.png", body=picture(1200, 800), content_type="image/png")
    url = upload["url"]
    elements = [
        element("a", src=url, stream=inlined(stream, 1), alt="one byte is inlined"),
        element("b", src=url, width=300, height=200, bytes=16, full="/full.png"),
        element("c", stream=inlined(stream, 32), full="/full.png", loading="lazy"),
        element("d", src="/thumb/nothing", width=200, height=50, alt="broken"),
    ]
    text = "<p>Text that has to stay where it is.</p>"
    view.open(text + text.join(elements) + text)
    view.wait_complete()
    assert {"a load", "b load", "c load", "d error"} <= set(view.events())
    assert view.shifts() == []
    assert view.evaluate("document.documentElement.scrollWidth") <= width


def test_lazy_elements_load_near_the_screen(
    show: ShowPage, upload: dict[str, Any], stream: bytes
) -> None:
    view = show(
        element("near", src=upload["url"], bytes=16, loading="lazy", width=90)
        + '<div style="height: 5000px"></div>'
        + element("far", src=upload["url"] + "?far", loading="lazy", width=90, full="/full.png")
        + element("inside", stream=inlined(stream, 32), loading="lazy", width=90)
    )
    view.fulfill("**/full.png", body=picture(), content_type="image/png")
    view.wait_until("near.complete")
    assert view.events() == ["near preview", "near load"]
    assert view.ranges(upload["url"] + "?far") == view.ranges("/full.png") == []
    assert view.boxes()[2] == [90, 60]
    view.evaluate("far.scrollIntoView()")
    view.wait_complete()
    assert view.ranges("/full.png") == [None]
    assert {"far load", "inside load"} < set(view.events())
    view.evaluate("far.loading = 'eager'")
    assert view.wait_complete().events().count("far load") == 1


def test_requests_only_the_bytes_after_an_inlined_prefix(
    show: ShowPage, service: str, upload: dict[str, Any], stream: bytes
) -> None:
    text = inlined(stream, 32)
    view = show(element(src=upload["url"], stream=text, bytes=64, width=90)).wait_complete()
    assert view.ranges(upload["url"]) == ["bytes=32-63"]
    assert view.events() == ["it preview", "it preview", "it load"]
    assert is_close(view.pixels("it"), decoded(service, upload, 64))


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ({"saveData": True, "effectiveType": "4g"}, 16),
        ({"effectiveType": "slow-2g"}, 16),
        ({"effectiveType": "2g"}, 32),
        ({"effectiveType": "3g"}, 64),
        ({"effectiveType": "4g"}, 128),
        (None, 128),
    ],
)
def test_default_bytes_depend_on_the_connection(
    show: ShowPage, upload: dict[str, Any], connection: Any, expected: int
) -> None:
    view = show()
    view.page.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'connection',"
        f" {{ get: () => ({json.dumps(connection or {})}) }})"
    )
    view.open(element("by", src=upload["url"]) + element("own", src="/thumb/x", bytes=48))
    view.wait_complete()
    assert view.ranges(upload["url"]) == [f"bytes=0-{expected - 1}"]
    assert view.ranges("/thumb/x") == ["bytes=0-47"]


def test_attributes_can_change(show: ShowPage, service: str, upload: dict[str, Any]) -> None:
    url = upload["url"]
    view = show(element(src=url, bytes=16, width=90)).wait_complete()
    view.evaluate("it.bytes = 64; it.alt = 'twice'; it.alt = 'sharper'")
    view.wait_complete()
    assert is_close(view.pixels("it"), decoded(service, upload, 64))
    view.evaluate("it.bytes = 'all'")
    view.wait_complete()
    assert is_close(view.pixels("it"), decoded(service, upload, upload["length"]))
    assert view.ranges(url) == ["bytes=0-15", "bytes=16-63", "bytes=64-"]
    view.evaluate("it.width = 120; it.height = null; it.bytes = 32")
    assert view.wait_complete().boxes() == [[120, 80]]
    view.evaluate("it.removeAttribute('src')")
    view.wait_until("it.naturalWidth === 0")
    assert view.pixels("it") == []
    view.evaluate("(url) => (it.src = url)", url)
    view.wait_complete()
    assert view.events()[-1] == "it load"
    assert len(view.ranges(url)) == 3
    assert view.image_names() == ["sharper"]


def test_moving_the_element_does_not_reload(show: ShowPage, upload: dict[str, Any]) -> None:
    view = show(element(src=upload["url"], width=90) + "<div id=box></div>").wait_complete()
    before = view.events(), len(view.requests)
    view.evaluate("box.append(it)")
    view.evaluate("new Promise((go) => setTimeout(go, 200))")
    assert (view.events(), len(view.requests)) == before
    assert view.pixels("it")


def test_error_event_and_fallback_content(show: ShowPage, upload: dict[str, Any]) -> None:
    view = show(
        element("gone", src="/thumb/AAAAAAAAAAAAAAAAAAAAAA", alt="A disk", width=300, height=200)
        + '<thumb-stream id="other" stream="AAAA" alt="B" width="90"><b>instead</b></thumb-stream>'
        + element("wrong", stream="no base64", alt="")
    )
    view.wait_complete()
    assert sorted(view.events()) == ["gone error", "other error", "wrong error"]
    assert view.evaluate("gone.decode().catch(({ name }) => name)") == "EncodingError"
    assert view.evaluate("[gone.complete, gone.naturalWidth]") == [True, 0]
    assert view.boxes()[0] == [300, 200]
    assert view.evaluate("gone.shadowRoot.querySelector('slot').hidden") is False
    assert view.page.get_by_text("instead").is_visible()
    assert view.image_names() == ["A disk", "B"]
    why = view.evaluate(
        """(url) => new Promise((done) => {
          gone.onerror = ({ error, message }) => done([error.name, error.status, message]);
          gone.src = "/thumb/BBBBBBBBBBBBBBBBBBBBBA";
        })""",
        upload["url"],
    )
    assert why[:2] == ["ResponseError", 404]
    assert why[2].endswith(
        "/thumb/BBBBBBBBBBBBBBBBBBBBBA, got status 404, application/problem+json"
    )
    view.evaluate("(url) => (gone.src = url)", upload["url"])
    view.wait_until("gone.complete && gone.naturalWidth > 0")
    assert view.evaluate("gone.shadowRoot.querySelector('slot').hidden") is True


def test_error_for_another_format(show: ShowPage) -> None:
    view = show(element())
    message = view.evaluate(
        """new Promise((done) => {
          it.onerror = ({ error, message }) => done([error.name, message]);
          it.stream = btoa("\\x00\\x01\\x02");
        })"""
    )
    assert message[0] == "BitstreamError"
    assert "got format 0" in message[1]
    assert MODEL in message[1]


PAPER = "conv-lstm-1"
"""A model without weights for browsers."""


@pytest.fixture(scope="session")
def foreign(service: str) -> dict[str, Any]:
    """The response of an upload of `picture`, encoded with that model."""
    request = urllib.request.Request(
        f"{service}/compress?model={PAPER}", picture(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def test_service_decodes_other_models(
    show: ShowPage, service: str, foreign: dict[str, Any]
) -> None:
    """On a page of another host with the strictest policy."""
    view = show()
    view.origin = "http://elsewhere.test"
    policy = f"default-src 'none'; script-src {service}; connect-src {service}"
    body = element(src=f"{service}{foreign['url']}", bytes=64, decoder=f"{service}/decode")
    view.open(body, client=f"{service}/client", csp=policy).wait_complete()
    assert view.pixels("it") == decoded(service, foreign, 64)
    assert view.events()[-1] == "it load"
    assert view.evaluate("[it.naturalWidth, it.naturalHeight]") == [32, 21]
    assert "/decode?format=png" in [path for path, _ in view.requests]
    assert not any("client.bin" in path or "worker" in path for path, _ in view.requests)


def test_service_does_not_decode_the_published_model(
    show: ShowPage, service: str, upload: dict[str, Any]
) -> None:
    view = show(element(src=upload["url"], decoder="/decode")).wait_complete()
    assert is_close(view.pixels("it"), decoded(service, upload, 128))
    assert not any("decode" in path for path, _ in view.requests)


def test_failed_decoder_can_be_replaced(
    show: ShowPage, service: str, foreign: dict[str, Any]
) -> None:
    view = show()
    view.fulfill("**/busy?*", status=503)
    view.open(element(src=foreign["url"], decoder="/busy", bytes=40)).wait_complete()
    assert view.events() == ["it error"]
    why = view.evaluate("it.decode().catch(({ name }) => name)")
    assert why == "EncodingError"
    view.evaluate("it.decoder = '/decode'")
    view.wait_until("it.naturalWidth > 0")
    assert view.wait_complete().pixels("it") == decoded(service, foreign, 40)
    assert view.ranges(foreign["url"]) == ["bytes=0-39"]


def test_removal_aborts_the_decoder_request(show: ShowPage, foreign: dict[str, Any]) -> None:
    view = show()
    release = view.hold("**/decode?*")
    failed: list[str] = []
    view.page.on("requestfailed", lambda request: failed.append(request.url))
    view.open(element(src=foreign["url"], decoder="/decode", bytes=40))
    while not any("/decode?" in path for path, _ in view.requests):
        view.page.wait_for_timeout(20)
    view.evaluate("it.remove()")
    while not failed:
        view.page.wait_for_timeout(20)
    release()
    assert view.events() == []


FADING = "it.shadowRoot.getAnimations().map(({ effect }) => effect.getTiming().duration)"


def test_picture_fades_in(show: ShowPage, upload: dict[str, Any]) -> None:
    view = show()
    view.fulfill("**/full.png*", body=picture(600, 400), content_type="image/png")
    release = view.hold("**/full.png")
    view.open(element(src=upload["url"], full="/full.png", width=300, alt="A disk"))
    view.wait_until("events.includes('it preview')")
    assert view.evaluate("[it.complete, it.naturalWidth]") == [False, 32]
    view.evaluate("it.addEventListener('load', () => (window.fading = " + FADING + "))")
    release()
    view.wait_complete()
    assert view.evaluate("fading") == [300]
    assert view.events() == ["it preview", "it load"]
    assert view.evaluate("[it.naturalWidth, it.naturalHeight]") == [600, 400]
    assert view.evaluate("[...it.shadowRoot.children].map((child) => child.localName)") == [
        "slot", "img",
    ]  # fmt: skip
    assert view.boxes() == [[300, 200]]
    assert view.image_names() == ["A disk"]
    view.evaluate("it.full = '/full.png?next'")
    view.wait_until("events.length === 3")
    view.wait_complete()
    assert view.evaluate("it.shadowRoot.querySelectorAll('img').length") == 1
    view.evaluate("it.full = null")
    view.wait_until("it.shadowRoot.querySelector('canvas')")
    assert view.pixels("it")


def test_reduced_motion_disables_the_fade(show: ShowPage, upload: dict[str, Any]) -> None:
    view = show(options={"reduced_motion": "reduce"})
    view.fulfill("**/full.png", body=picture(), content_type="image/png")
    release = view.hold("**/full.png")
    view.open(element(src=upload["url"], full="/full.png"))
    view.wait_until("events.includes('it preview')")
    view.evaluate("it.addEventListener('load', () => (window.fading = " + FADING + "))")
    release()
    view.wait_complete()
    assert view.evaluate("fading") in ([], [0])


def test_broken_picture_keeps_the_preview(show: ShowPage, upload: dict[str, Any]) -> None:
    view = show()
    view.fulfill("**/full.png", body="no picture", content_type="image/png")
    view.open(element(src=upload["url"], full="/full.png", alt="A disk"))
    view.wait_until("events.length === 2")
    assert sorted(view.events()) == ["it error", "it preview"]
    assert view.pixels("it")
    assert view.evaluate("it.shadowRoot.querySelector('slot').hidden") is True


def test_picture_is_shown_without_a_stream(show: ShowPage) -> None:
    view = show()
    view.fulfill("**/full.png", body=picture(), content_type="image/png")
    view.open(
        element(src="/thumb/nothing", full="/full.png", width=300, height=200)
    ).wait_complete()
    assert view.events() == ["it load"]
    assert view.evaluate("it.naturalWidth") == 300


def test_one_worker_per_page(show: ShowPage, stream: bytes) -> None:
    body = "".join(element(f"e{i}", stream=inlined(stream, 20 + i), width=60) for i in range(30))
    view = show(body).wait_complete()
    assert len(view.page.workers) == 1
    paths = [path for path, _ in view.requests]
    for name in ("client.bin", "worker.min.js"):
        assert sum(path.endswith(f"/{name}") for path in paths) == 1, name
    assert not any("plain_kernels" in path for path in paths)
    assert sum(event.endswith(" load") for event in view.events()) == 30


def test_main_thread_decodes_if_the_worker_fails(
    show: ShowPage, service: str, upload: dict[str, Any]
) -> None:
    view = show()
    view.fulfill("**/worker.min.js", status=404)
    many = "".join(element(f"e{i}", src=upload["url"], bytes=40 + i) for i in range(5))
    view.open(element(src=upload["url"]) + many).wait_complete()
    assert is_close(view.pixels("it"), decoded(service, upload, 128))
    assert sum(event.endswith(" load") for event in view.events()) == 6


def test_color_improves_while_the_weights_load(
    show: ShowPage, upload: dict[str, Any], stream: bytes
) -> None:
    """Of the prefixes that arrive meanwhile, only the newest is painted."""
    view = show()
    release = view.hold("**/client.bin")
    with partial_server(stream) as (server, state):
        view.open(element(src=f"{server}/stall/16", stream=inlined(stream, 1), bytes=64))
        color = color_of(view, stream, 17)
        assert color != color_of(view, stream, 1)
        view.wait_until(f"{PAINTED} === '{color}'")
        state.resume.set()
        view.wait_until("performance.getEntriesByName(it.src).length > 0")
        release()
        view.wait_complete()
    assert view.events() == ["it preview", "it preview", "it load"]
    assert view.evaluate("it.naturalWidth") == 32


def test_worker_without_webassembly(show: ShowPage, service: str, upload: dict[str, Any]) -> None:
    view = show()
    policy = {"Content-Security-Policy": "default-src 'self'"}

    def strict(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, **policy})

    view.page.route("**/worker.min.js", strict)
    view.open(element(src=upload["url"])).wait_complete()
    assert any("plain_kernels" in path for path, _ in view.requests)
    assert len(view.page.workers) == 1
    assert is_close(view.pixels("it"), decoded(service, upload, 128))


@pytest.mark.parametrize(
    ("script", "plain"), [("", True), ("'wasm-unsafe-eval'", False)], ids=["plain", "wasm"]
)
def test_main_thread_decodes_if_workers_are_blocked(
    show: ShowPage, service: str, upload: dict[str, Any], script: str, plain: bool
) -> None:
    """The strictest policy that allows the client: no inline style, no worker."""
    policy = CSP.format(script=script, more="worker-src 'none'; img-src 'self'")
    many = "".join(element(f"e{i}", src=upload["url"], bytes=40 + i) for i in range(5))
    view = show(element(src=upload["url"], width=90) + many, csp=policy).wait_complete()
    assert view.page.workers == []
    assert any("plain_kernels" in path for path, _ in view.requests) is plain
    assert is_close(view.pixels("it"), decoded(service, upload, 128))
    assert sum(event.endswith(" load") for event in view.events()) == 6
    assert view.boxes()[0] == [90, 60]


def test_page_of_another_origin(show: ShowPage, service: str, upload: dict[str, Any]) -> None:
    """The client and the streams are from the service, the page is not."""
    view = show()
    view.origin = "http://elsewhere.test"
    view.open(element(src=f"{service}{upload['url']}", width=90), client=f"{service}/client")
    view.wait_complete()
    assert view.events() == ["it preview", "it load"]
    assert [worker.url.partition(":")[0] for worker in view.page.workers] == ["blob"]
    assert is_close(view.pixels("it"), decoded(service, upload, 128))


def test_interrupted_response_is_shown(
    show: ShowPage, service: str, upload: dict[str, Any], stream: bytes
) -> None:
    with partial_server(stream) as (server, state):
        view = show(element(src=f"{server}/break/40", bytes=128, width=90))
        view.wait_until("events.includes('it preview')")
        state.resume.set()
        assert view.wait_complete().events() == ["it preview", "it load"]
        assert is_close(view.pixels("it"), decoded(service, upload, 40))


def test_stalled_response_is_shown(
    show: ShowPage, service: str, upload: dict[str, Any], stream: bytes
) -> None:
    with partial_server(stream) as (server, state):
        view = show(element(src=f"{server}/stall/40", bytes=128, width=90))
        view.wait_until("events.includes('it preview')")
        assert is_close(view.pixels("it"), decoded(service, upload, 40))
        assert view.evaluate("it.complete") is False
        state.resume.set()
        view.wait_complete()
        assert view.events() == ["it preview", "it preview", "it load"]
        assert is_close(view.pixels("it"), decoded(service, upload, 128))


def test_removal_aborts_and_reinsertion_resumes(show: ShowPage, stream: bytes) -> None:
    with partial_server(stream) as (server, state):
        view = show(element(src=f"{server}/stall/8", bytes=64, width=90))
        view.wait_until("events.includes('it preview')")
        view.evaluate("(window.removed = it).remove()")
        assert state.disconnected.wait(30)
        assert view.events() == ["it preview"]
        state.resume.set()
        view.evaluate("document.body.append(removed)")
        view.wait_complete()
        assert view.ranges(f"{server}/stall/8") == ["bytes=0-63", "bytes=8-63"]


def test_properties_set_before_definition(show: ShowPage, stream: bytes) -> None:
    view = show()
    text = inlined(stream, 32)
    early = f"addEventListener('readystatechange', () => (it.stream ??= '{text}'), true)"
    view.page.add_init_script(early)
    view.open(element(alt="early")).wait_complete()
    assert view.evaluate("[it.getAttribute('stream'), Object.hasOwn(it, 'stream')]") == [
        text,
        False,
    ]
    assert view.pixels("it")


def test_object_fit_and_hidden(show: ShowPage, stream: bytes) -> None:
    style = "thumb-stream { width: 100px; height: 100px; object-fit: cover; border-radius: 9px }"
    view = show(element(stream=inlined(stream, 32)), style=style).wait_complete()
    inner = "getComputedStyle(it.shadowRoot.querySelector('canvas'))"
    assert view.evaluate(f"[{inner}.objectFit, {inner}.width]") == ["cover", "100px"]
    view.evaluate("it.hidden = true")
    assert view.boxes() == [[0, 0]]


def test_accessible_names(show: ShowPage, stream: bytes) -> None:
    text = inlined(stream, 32)
    view = show(
        element("a", stream=text, alt="A disk") + element("b", stream=text, alt="")
        + element("c", stream=text, role="button", tabindex=0, alt="Zoom")
    )  # fmt: skip
    view.wait_complete()
    assert view.image_names() == ["A disk"]
    view.page.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.id") == "c"
    assert view.page.get_by_role("button").count() == 1


def snippet(heading: str) -> str:
    """The first HTML snippet below a heading of the documentation."""
    found = re.search(rf"^#+ {re.escape(heading)}$.*?^```html$(.*?)^```$", DOCS, re.S | re.M)
    assert found is not None, heading
    return found[1]


@pytest.mark.parametrize(
    ("heading", "events"),
    [
        ("`<thumb-stream>`", {" load"}),
        ("No layout shift", {" preview", " load"}),
        ("Plain HTML", {" load"}),
        ("Django, Jinja", {" load"}),
    ],
)
def test_documentation_snippets(
    show: ShowPage, service: str, upload: dict[str, Any], heading: str, events: set[str]
) -> None:
    text = snippet(heading)
    if "{{" in text:
        photo = {**upload, "file": "lake.jpg", "title": "A lake at dawn"}
        template = pytest.importorskip("jinja2").Template(text, autoescape=True)
        text = template.render(thumbs=service, photos=[photo])
    view = show()
    view.origin = "http://page.test"
    view.fulfill("**/lake.jpg", body=picture(), content_type="image/png")
    view.fulfill("**/favicon.ico", status=404)
    text = text.replace("https://thumbs.example", service)
    text = re.sub(r"/thumb/[\w-]{22}", upload["url"], text)
    module = f"{service}/client/element.min.js"
    view.open(text, client="data:text/javascript,//" if module in text else f"{service}/client")
    view.wait_complete()
    assert events <= set(view.events())
    assert view.image_names() == ["A lake at dawn"]
    assert view.shifts() == []
