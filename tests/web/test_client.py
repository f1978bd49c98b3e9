"""`<thumb-stream>` in a real Chromium, with the client as the service serves it."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parent))

from client_harness import Shown, told

MODEL = "thumbstream-1"
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "element.md").read_text()
CSP = "default-src 'none'; script-src 'self' {script}; connect-src 'self'; {more}"

ShowPage = Callable[..., Shown]


def picture(width: int = 300, height: int = 200) -> bytes:
    """A PNG: soft colours with a disk in front."""
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
def receipt(service: str) -> dict[str, Any]:
    """What the service says about `picture`, made by the model that the client reads."""
    request = urllib.request.Request(
        f"{service}/compress?model={MODEL}", picture(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


@pytest.fixture(scope="session")
def stream(service: str, receipt: dict[str, Any]) -> bytes:
    return get(f"{service}{receipt['url']}")


@pytest.fixture
def show(browser: Browser, service: str) -> Iterator[ShowPage]:
    """``show(body)`` opens a page of the service's origin; no script of it may fail."""
    contexts, pages = [], []

    def show_one(
        body: str | None = None, width: int = 1000, height: int = 800, *,
        options: dict[str, Any] | None = None, **page: str,
    ) -> Shown:  # fmt: skip
        size: Any = {"width": width, "height": height}
        context = browser.new_context(viewport=size, **(options or {}))
        contexts.append(context)
        shown = Shown(context, service)
        pages.append(shown)
        return shown if body is None else shown.open(body, **page)

    yield show_one
    for context in contexts:
        context.close()
    assert [page.complaints for page in pages if page.complaints] == []


def element(identity: str = "it", /, **attributes: object) -> str:
    pairs = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<thumb-stream id="{identity}"{pairs}></thumb-stream>'


def inlined(stream: bytes, count: int) -> str:
    return base64.b64encode(stream[:count]).decode()


def decoded(service: str, receipt: dict[str, Any], count: int) -> list[int]:
    """RGBA of a prefix by the service."""
    png = get(f"{service}/decode/{receipt['id']}?bytes={count}&format=png")
    return list(Image.open(io.BytesIO(png)).convert("RGBA").tobytes())


def close(seen: list[int], wanted: list[int]) -> bool:
    return len(seen) == len(wanted) and max(
        abs(a - b) for a, b in zip(seen, wanted, strict=True)
    ) <= 1  # fmt: skip


PAINTED = "it.shadowRoot.querySelector('canvas').style.background"
"""The colour behind a preview that is not there yet."""


def colour_of(shown: Shown, stream: bytes, count: int) -> str:
    """The mean colour that a prefix tells, as the browser writes it."""
    colour: str = shown.ask(
        """(text) => import("/client/element.min.js").then(({ averageColor }) => {
          const box = document.createElement("i");
          box.style.background = averageColor(
            Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
          return box.style.background;
        })""",
        inlined(stream, count),
    )
    return colour


def test_the_preview_is_what_the_service_decodes(
    show: ShowPage, service: str, receipt: dict[str, Any]
) -> None:
    shown = show(element(src=receipt["url"], alt="A disk", width=300)).complete()
    assert close(shown.pixels("it"), decoded(service, receipt, 128))
    assert shown.ranges(receipt["url"]) == ["bytes=0-127"]
    assert shown.events() == ["it preview", "it load"]
    assert shown.ask("[it.complete, it.naturalWidth, it.naturalHeight]") == [True, 32, 21]
    assert shown.ask("it.decode().then(() => 'decoded')") == "decoded"


def test_shape_and_colour_come_before_the_weights(
    show: ShowPage, receipt: dict[str, Any], stream: bytes
) -> None:
    shown = show()
    release = shown.hold("**/client.bin")
    shown.open(element(stream=inlined(stream, 16), width=300))
    shown.until(f"{PAINTED} !== ''")
    assert shown.ask(PAINTED) == colour_of(shown, stream, 16)
    assert shown.boxes() == [[300, 200]]
    assert shown.pixels("it") == []
    assert shown.ask("[it.complete, it.naturalWidth]") == [False, 0]
    release()
    shown.complete()
    assert len(shown.pixels("it")) == 4 * 32 * 21
    assert shown.ask(PAINTED) == ""
    assert shown.boxes() == [[300, 200]]
    assert not any(path.startswith("/thumb") for path, _ in shown.asked)


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
def test_the_layout_is_reserved_at_once(
    show: ShowPage, stream: bytes, attributes: dict[str, int], style: str, box: list[float]
) -> None:
    shown = show()
    release = shown.hold("**/client.bin")
    body = f"<main>{element(stream=inlined(stream, 1), **attributes)}</main>"
    shown.open(body, style=style).until("it.matches(':defined')")
    assert shown.boxes()[0] == pytest.approx(box, abs=0.01)
    release()
    shown.complete()
    assert shown.boxes()[0] == pytest.approx(box, abs=0.01)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_on_the_page_moves(
    show: ShowPage, receipt: dict[str, Any], stream: bytes, width: int
) -> None:
    shown = show(width=width)
    shown.answer("**/full.png", body=picture(1200, 800), content_type="image/png")
    url = receipt["url"]
    elements = [
        element("a", src=url, stream=inlined(stream, 1), alt="one byte is inlined"),
        element("b", src=url, width=300, height=200, bytes=16, full="/full.png"),
        element("c", stream=inlined(stream, 32), full="/full.png", loading="lazy"),
        element("d", src="/thumb/nothing", width=200, height=50, alt="broken"),
    ]
    text = "<p>Text that has to stay where it is.</p>"
    shown.open(text + text.join(elements) + text)
    shown.complete()
    assert {"a load", "b load", "c load", "d error"} <= set(shown.events())
    assert shown.shifts() == []
    assert shown.ask("document.documentElement.scrollWidth") <= width


def test_lazy_ones_wait_until_they_are_near(
    show: ShowPage, receipt: dict[str, Any], stream: bytes
) -> None:
    shown = show(
        element("near", src=receipt["url"], bytes=16, loading="lazy", width=90)
        + '<div style="height: 5000px"></div>'
        + element("far", src=receipt["url"] + "?far", loading="lazy", width=90, full="/full.png")
        + element("inside", stream=inlined(stream, 32), loading="lazy", width=90)
    )
    shown.answer("**/full.png", body=picture(), content_type="image/png")
    shown.until("near.complete")
    assert shown.events() == ["near preview", "near load"]
    assert shown.ranges(receipt["url"] + "?far") == shown.ranges("/full.png") == []
    assert shown.boxes()[2] == [90, 60]
    shown.ask("far.scrollIntoView()")
    shown.complete()
    assert shown.ranges("/full.png") == [None]
    assert {"far load", "inside load"} < set(shown.events())
    shown.ask("far.loading = 'eager'")
    assert shown.complete().events().count("far load") == 1


def test_an_inlined_prefix_is_shown_and_only_the_rest_is_asked_for(
    show: ShowPage, service: str, receipt: dict[str, Any], stream: bytes
) -> None:
    text = inlined(stream, 32)
    shown = show(element(src=receipt["url"], stream=text, bytes=64, width=90)).complete()
    assert shown.ranges(receipt["url"]) == ["bytes=32-63"]
    assert shown.events() == ["it preview", "it preview", "it load"]
    assert close(shown.pixels("it"), decoded(service, receipt, 64))


@pytest.mark.parametrize(
    ("connection", "wanted"),
    [
        ({"saveData": True, "effectiveType": "4g"}, 16),
        ({"effectiveType": "slow-2g"}, 16),
        ({"effectiveType": "2g"}, 32),
        ({"effectiveType": "3g"}, 64),
        ({"effectiveType": "4g"}, 128),
        (None, 128),
    ],
)
def test_the_connection_says_how_many_bytes(
    show: ShowPage, receipt: dict[str, Any], connection: Any, wanted: int
) -> None:
    shown = show()
    shown.page.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'connection',"
        f" {{ get: () => ({json.dumps(connection or {})}) }})"
    )
    shown.open(element("by", src=receipt["url"]) + element("own", src="/thumb/x", bytes=48))
    shown.complete()
    assert shown.ranges(receipt["url"]) == [f"bytes=0-{wanted - 1}"]
    assert shown.ranges("/thumb/x") == ["bytes=0-47"]


def test_attributes_may_change_at_any_time(
    show: ShowPage, service: str, receipt: dict[str, Any]
) -> None:
    url = receipt["url"]
    shown = show(element(src=url, bytes=16, width=90)).complete()
    shown.ask("it.bytes = 64; it.alt = 'twice'; it.alt = 'sharper'")
    shown.complete()
    assert close(shown.pixels("it"), decoded(service, receipt, 64))
    shown.ask("it.bytes = 'all'")
    shown.complete()
    assert close(shown.pixels("it"), decoded(service, receipt, receipt["length"]))
    assert shown.ranges(url) == ["bytes=0-15", "bytes=16-63", "bytes=64-"]
    shown.ask("it.width = 120; it.height = null; it.bytes = 32")
    assert shown.complete().boxes() == [[120, 80]]
    shown.ask("it.removeAttribute('src')")
    shown.until("it.naturalWidth === 0")
    assert shown.pixels("it") == []
    shown.ask("(url) => (it.src = url)", url)
    shown.complete()
    assert shown.events()[-1] == "it load"
    assert len(shown.ranges(url)) == 3
    assert shown.names() == ["sharper"]


def test_moving_it_loads_nothing_again(show: ShowPage, receipt: dict[str, Any]) -> None:
    shown = show(element(src=receipt["url"], width=90) + "<div id=box></div>").complete()
    before = shown.events(), len(shown.asked)
    shown.ask("box.append(it)")
    shown.ask("new Promise((go) => setTimeout(go, 200))")
    assert (shown.events(), len(shown.asked)) == before
    assert shown.pixels("it")


def test_an_error_is_told_and_the_text_is_shown(show: ShowPage, receipt: dict[str, Any]) -> None:
    shown = show(
        element("gone", src="/thumb/AAAAAAAAAAAAAAAAAAAAAA", alt="A disk", width=300, height=200)
        + '<thumb-stream id="other" stream="AAAA" alt="B" width="90"><b>instead</b></thumb-stream>'
        + element("wrong", stream="no base64", alt="")
    )
    shown.complete()
    assert sorted(shown.events()) == ["gone error", "other error", "wrong error"]
    assert shown.ask("gone.decode().catch(({ name }) => name)") == "EncodingError"
    assert shown.ask("[gone.complete, gone.naturalWidth]") == [True, 0]
    assert shown.boxes()[0] == [300, 200]
    assert shown.ask("gone.shadowRoot.querySelector('slot').hidden") is False
    assert shown.page.get_by_text("instead").is_visible()
    assert shown.names() == ["A disk", "B"]
    why = shown.ask(
        """(url) => new Promise((done) => {
          gone.onerror = ({ error, message }) => done([error.name, error.status, message]);
          gone.src = "/thumb/BBBBBBBBBBBBBBBBBBBBBA";
        })""",
        receipt["url"],
    )
    assert why[:2] == ["ResponseError", 404]
    assert why[2].endswith("/thumb/BBBBBBBBBBBBBBBBBBBBBA: status 404")
    shown.ask("(url) => (gone.src = url)", receipt["url"])
    shown.until("gone.complete && gone.naturalWidth > 0")
    assert shown.ask("gone.shadowRoot.querySelector('slot').hidden") is True


def test_another_family_is_a_clear_error(show: ShowPage) -> None:
    shown = show(element())
    message = shown.ask(
        """new Promise((done) => {
          it.onerror = ({ error, message }) => done([error.name, message]);
          it.stream = btoa("\\x00\\x01\\x02");
        })"""
    )
    assert message[0] == "BitstreamError"
    assert "bitstream 0" in message[1]
    assert MODEL in message[1]


PAPER = "conv-lstm-1"
"""A model of which browsers have no weights."""


@pytest.fixture(scope="session")
def foreign(service: str) -> dict[str, Any]:
    """What the service says about `picture`, made by that model."""
    request = urllib.request.Request(
        f"{service}/compress?model={PAPER}", picture(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def test_a_service_decodes_what_the_browser_cannot(
    show: ShowPage, service: str, foreign: dict[str, Any]
) -> None:
    """The page is of another host, and its policy is as strict as it can be."""
    shown = show()
    shown.origin = "http://elsewhere.test"
    policy = f"default-src 'none'; script-src {service}; connect-src {service}"
    body = element(src=f"{service}{foreign['url']}", bytes=64, decoder=f"{service}/decode")
    shown.open(body, client=f"{service}/client", csp=policy).complete()
    assert shown.pixels("it") == decoded(service, foreign, 64)
    assert shown.events()[-1] == "it load"
    assert shown.ask("[it.naturalWidth, it.naturalHeight]") == [32, 21]
    assert "/decode?format=png" in [path for path, _ in shown.asked]
    assert not any("client.bin" in path or "worker" in path for path, _ in shown.asked)


def test_a_decoder_is_not_asked_for_what_the_browser_can(
    show: ShowPage, service: str, receipt: dict[str, Any]
) -> None:
    shown = show(element(src=receipt["url"], decoder="/decode")).complete()
    assert close(shown.pixels("it"), decoded(service, receipt, 128))
    assert not any("decode" in path for path, _ in shown.asked)


def test_a_decoder_that_fails_is_an_error_until_there_is_another(
    show: ShowPage, service: str, foreign: dict[str, Any]
) -> None:
    shown = show()
    shown.answer("**/busy?*", status=503)
    shown.open(element(src=foreign["url"], decoder="/busy", bytes=40)).complete()
    assert shown.events() == ["it error"]
    why = shown.ask("it.decode().catch(({ name }) => name)")
    assert why == "EncodingError"
    shown.ask("it.decoder = '/decode'")
    shown.until("it.naturalWidth > 0")
    assert shown.complete().pixels("it") == decoded(service, foreign, 40)
    assert shown.ranges(foreign["url"]) == ["bytes=0-39"]


def test_what_leaves_the_page_stops_asking_the_decoder(
    show: ShowPage, foreign: dict[str, Any]
) -> None:
    shown = show()
    release = shown.hold("**/decode?*")
    failed: list[str] = []
    shown.page.on("requestfailed", lambda request: failed.append(request.url))
    shown.open(element(src=foreign["url"], decoder="/decode", bytes=40))
    while not any("/decode?" in path for path, _ in shown.asked):
        shown.page.wait_for_timeout(20)
    shown.ask("it.remove()")
    while not failed:
        shown.page.wait_for_timeout(20)
    release()
    assert shown.events() == []


FADING = "it.shadowRoot.getAnimations().map(({ effect }) => effect.getTiming().duration)"


def test_the_picture_fades_in_over_its_preview(show: ShowPage, receipt: dict[str, Any]) -> None:
    shown = show()
    shown.answer("**/full.png*", body=picture(600, 400), content_type="image/png")
    release = shown.hold("**/full.png")
    shown.open(element(src=receipt["url"], full="/full.png", width=300, alt="A disk"))
    shown.until("events.includes('it preview')")
    assert shown.ask("[it.complete, it.naturalWidth]") == [False, 32]
    shown.ask("it.addEventListener('load', () => (window.fading = " + FADING + "))")
    release()
    shown.complete()
    assert shown.ask("fading") == [300]
    assert shown.events() == ["it preview", "it load"]
    assert shown.ask("[it.naturalWidth, it.naturalHeight]") == [600, 400]
    assert shown.ask("[...it.shadowRoot.children].map((child) => child.localName)") == [
        "slot", "img",
    ]  # fmt: skip
    assert shown.boxes() == [[300, 200]]
    assert shown.names() == ["A disk"]
    shown.ask("it.full = '/full.png?next'")
    shown.until("events.length === 3")
    shown.complete()
    assert shown.ask("it.shadowRoot.querySelectorAll('img').length") == 1
    shown.ask("it.full = null")
    shown.until("it.shadowRoot.querySelector('canvas')")
    assert shown.pixels("it")


def test_with_less_motion_nothing_fades(show: ShowPage, receipt: dict[str, Any]) -> None:
    shown = show(options={"reduced_motion": "reduce"})
    shown.answer("**/full.png", body=picture(), content_type="image/png")
    release = shown.hold("**/full.png")
    shown.open(element(src=receipt["url"], full="/full.png"))
    shown.until("events.includes('it preview')")
    shown.ask("it.addEventListener('load', () => (window.fading = " + FADING + "))")
    release()
    shown.complete()
    assert shown.ask("fading") in ([], [0])


def test_a_picture_that_is_broken_leaves_its_preview(
    show: ShowPage, receipt: dict[str, Any]
) -> None:
    shown = show()
    shown.answer("**/full.png", body="no picture", content_type="image/png")
    shown.open(element(src=receipt["url"], full="/full.png", alt="A disk"))
    shown.until("events.length === 2")
    assert sorted(shown.events()) == ["it error", "it preview"]
    assert shown.pixels("it")
    assert shown.ask("it.shadowRoot.querySelector('slot').hidden") is True


def test_a_picture_whose_stream_is_broken_is_shown(show: ShowPage) -> None:
    shown = show()
    shown.answer("**/full.png", body=picture(), content_type="image/png")
    shown.open(element(src="/thumb/nothing", full="/full.png", width=300, height=200)).complete()
    assert shown.events() == ["it load"]
    assert shown.ask("it.naturalWidth") == 300


def test_one_worker_decodes_for_the_whole_page(show: ShowPage, stream: bytes) -> None:
    body = "".join(element(f"e{i}", stream=inlined(stream, 20 + i), width=60) for i in range(30))
    shown = show(body).complete()
    assert len(shown.page.workers) == 1
    paths = [path for path, _ in shown.asked]
    for name in ("client.bin", "worker.min.js"):
        assert sum(path.endswith(f"/{name}") for path in paths) == 1, name
    assert not any("plain_kernels" in path for path in paths)
    assert sum(event.endswith(" load") for event in shown.events()) == 30


def test_a_worker_that_does_not_start_is_done_without(
    show: ShowPage, service: str, receipt: dict[str, Any]
) -> None:
    shown = show()
    shown.answer("**/worker.min.js", status=404)
    many = "".join(element(f"e{i}", src=receipt["url"], bytes=40 + i) for i in range(5))
    shown.open(element(src=receipt["url"]) + many).complete()
    assert close(shown.pixels("it"), decoded(service, receipt, 128))
    assert sum(event.endswith(" load") for event in shown.events()) == 6


def test_while_the_weights_come_the_colour_gets_better(
    show: ShowPage, receipt: dict[str, Any], stream: bytes
) -> None:
    """And of the previews that could have been painted meanwhile, only the newest is."""
    shown = show()
    release = shown.hold("**/client.bin")
    with told(stream) as (server, behaviour):
        shown.open(element(src=f"{server}/stall/16", stream=inlined(stream, 1), bytes=64))
        colour = colour_of(shown, stream, 17)
        assert colour != colour_of(shown, stream, 1)
        shown.until(f"{PAINTED} === '{colour}'")
        behaviour.go_on.set()
        shown.until("performance.getEntriesByName(it.src).length > 0")
        release()
        shown.complete()
    assert shown.events() == ["it preview", "it preview", "it load"]
    assert shown.ask("it.naturalWidth") == 32


def test_a_worker_without_webassembly_paints_the_same(
    show: ShowPage, service: str, receipt: dict[str, Any]
) -> None:
    shown = show()
    policy = {"Content-Security-Policy": "default-src 'self'"}

    def strict(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, **policy})

    shown.page.route("**/worker.min.js", strict)
    shown.open(element(src=receipt["url"])).complete()
    assert any("plain_kernels" in path for path, _ in shown.asked)
    assert len(shown.page.workers) == 1
    assert close(shown.pixels("it"), decoded(service, receipt, 128))


@pytest.mark.parametrize(
    ("script", "plain"), [("", True), ("'wasm-unsafe-eval'", False)], ids=["plain", "wasm"]
)
def test_a_page_that_permits_no_worker_decodes_by_itself(
    show: ShowPage, service: str, receipt: dict[str, Any], script: str, plain: bool
) -> None:
    """The strictest policy under which anything can run: no inline style, no worker."""
    policy = CSP.format(script=script, more="worker-src 'none'; img-src 'self'")
    many = "".join(element(f"e{i}", src=receipt["url"], bytes=40 + i) for i in range(5))
    shown = show(element(src=receipt["url"], width=90) + many, csp=policy).complete()
    assert shown.page.workers == []
    assert any("plain_kernels" in path for path, _ in shown.asked) is plain
    assert close(shown.pixels("it"), decoded(service, receipt, 128))
    assert sum(event.endswith(" load") for event in shown.events()) == 6
    assert shown.boxes()[0] == [90, 60]


def test_a_page_of_another_origin(show: ShowPage, service: str, receipt: dict[str, Any]) -> None:
    """The client and the streams are those of the service, the page is not."""
    shown = show()
    shown.origin = "http://elsewhere.test"
    shown.open(element(src=f"{service}{receipt['url']}", width=90), client=f"{service}/client")
    shown.complete()
    assert shown.events() == ["it preview", "it load"]
    assert [worker.url.partition(":")[0] for worker in shown.page.workers] == ["blob"]
    assert close(shown.pixels("it"), decoded(service, receipt, 128))


def test_a_server_that_hangs_up_half_way(
    show: ShowPage, service: str, receipt: dict[str, Any], stream: bytes
) -> None:
    with told(stream) as (server, behaviour):
        shown = show(element(src=f"{server}/break/40", bytes=128, width=90))
        shown.until("events.includes('it preview')")
        behaviour.go_on.set()
        assert shown.complete().events() == ["it preview", "it load"]
        assert close(shown.pixels("it"), decoded(service, receipt, 40))


def test_a_server_that_stops_half_way(
    show: ShowPage, service: str, receipt: dict[str, Any], stream: bytes
) -> None:
    with told(stream) as (server, behaviour):
        shown = show(element(src=f"{server}/stall/40", bytes=128, width=90))
        shown.until("events.includes('it preview')")
        assert close(shown.pixels("it"), decoded(service, receipt, 40))
        assert shown.ask("it.complete") is False
        behaviour.go_on.set()
        shown.complete()
        assert shown.events() == ["it preview", "it preview", "it load"]
        assert close(shown.pixels("it"), decoded(service, receipt, 128))


def test_what_leaves_the_page_stops_asking(show: ShowPage, stream: bytes) -> None:
    with told(stream) as (server, behaviour):
        shown = show(element(src=f"{server}/stall/8", bytes=64, width=90))
        shown.until("events.includes('it preview')")
        shown.ask("(window.kept = it).remove()")
        assert behaviour.gone.wait(30)
        assert shown.events() == ["it preview"]
        behaviour.go_on.set()
        shown.ask("document.body.append(kept)")
        shown.complete()
        assert shown.ranges(f"{server}/stall/8") == ["bytes=0-63", "bytes=8-63"]


def test_properties_that_were_set_early_count(show: ShowPage, stream: bytes) -> None:
    shown = show()
    text = inlined(stream, 32)
    early = f"addEventListener('readystatechange', () => (it.stream ??= '{text}'), true)"
    shown.page.add_init_script(early)
    shown.open(element(alt="early")).complete()
    assert shown.ask("[it.getAttribute('stream'), Object.hasOwn(it, 'stream')]") == [text, False]
    assert shown.pixels("it")


def test_styles_reach_the_picture_as_they_reach_an_image(show: ShowPage, stream: bytes) -> None:
    style = "thumb-stream { width: 100px; height: 100px; object-fit: cover; border-radius: 9px }"
    shown = show(element(stream=inlined(stream, 32)), style=style).complete()
    inner = "getComputedStyle(it.shadowRoot.querySelector('canvas'))"
    assert shown.ask(f"[{inner}.objectFit, {inner}.width]") == ["cover", "100px"]
    shown.ask("it.hidden = true")
    assert shown.boxes() == [[0, 0]]


def test_a_screen_reader_meets_the_text_only(show: ShowPage, stream: bytes) -> None:
    text = inlined(stream, 32)
    shown = show(
        element("a", stream=text, alt="A disk") + element("b", stream=text, alt="")
        + element("c", stream=text, role="button", tabindex=0, alt="Zoom")
    )  # fmt: skip
    shown.complete()
    assert shown.names() == ["A disk"]
    shown.page.keyboard.press("Tab")
    assert shown.ask("document.activeElement.id") == "c"
    assert shown.page.get_by_role("button").count() == 1


def snippet(heading: str) -> str:
    """The first HTML below a heading of the documentation."""
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
def test_the_snippets_work(
    show: ShowPage, service: str, receipt: dict[str, Any], heading: str, events: set[str]
) -> None:
    text = snippet(heading)
    if "{{" in text:
        photo = {**receipt, "file": "lake.jpg", "title": "A lake at dawn"}
        template = pytest.importorskip("jinja2").Template(text, autoescape=True)
        text = template.render(thumbs=service, photos=[photo])
    shown = show()
    shown.origin = "http://page.test"
    shown.answer("**/lake.jpg", body=picture(), content_type="image/png")
    shown.answer("**/favicon.ico", status=404)
    text = text.replace("https://thumbs.example", service)
    text = re.sub(r"/thumb/[\w-]{22}", receipt["url"], text)
    module = f"{service}/client/element.min.js"
    shown.open(text, client="data:text/javascript,//" if module in text else f"{service}/client")
    shown.complete()
    assert events <= set(shown.events())
    assert shown.names() == ["A lake at dawn"]
    assert shown.shifts() == []
