"""The client in Firefox and WebKitGTK: previews, pixels, worker, and what happens without them."""

from __future__ import annotations

import base64
import functools
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from PIL import Image
from web.other_browsers import Driver, firefox, webkit

import thumbstream

CLIENT = Path(__file__).resolve().parents[2] / "service" / "thumbstream" / "web" / "client"
INLINED = 64
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title>
<script>
window.events = [];
for (const type of ["preview", "previewerror", "load"]) {
  document.addEventListener(type, ({ target }) => events.push(`${target.id} ${type}`), true);
}
</script>
<script type="module" src="/images.min.js"></script>
SCRIPT
<img id="it" src="/slow.png" width="300" height="200" alt="A lake" data-thumb="STREAM">
<img id="broken" src="/slow.png" width="30" height="20" alt="" data-thumb="AAAA">
"""
SCENARIO = """<script type="module">
import { sharpen } from "/images.min.js";

const until = async (condition) => {
  while (!condition()) await new Promise((done) => setTimeout(done, 50));
};
const background = () => getComputedStyle(it).backgroundImage;

async function scenario() {
  await until(() => events.includes("it preview") && events.includes("broken previewerror"));
  const found = { first: background(), size: [it.clientWidth, it.clientHeight] };
  found.loaded = events.includes("it load");
  await sharpen();
  found.sharpened = background();
  await fetch("/release");
  await until(() => events.includes("it load"));
  return { ...found, last: background() };
}
const found = await scenario().catch((error) => ({ error: `${error}` }));
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
</script>"""
"""Run by the page: WebKit's driver runs no script while a picture of the page is loading."""


class Handler(SimpleHTTPRequestHandler):
    """The client's files, a page, and a picture that comes when `released` is set."""

    stream = b""
    released = threading.Event()
    found: Queue[dict[str, Any]] = Queue()

    def do_GET(self) -> None:
        if self.path.startswith("/page.html"):
            text = base64.b64encode(self.stream[:INLINED]).decode()
            script = SCENARIO if self.path.endswith("?scenario") else ""
            page = PAGE.replace("STREAM", text).replace("SCRIPT", script)
            self._respond("text/html", page.encode())
        elif self.path == "/release":
            self.released.set()
            self._respond("text/plain", b"")
        elif self.path.startswith("/slow.png"):
            self.released.wait(120)
            buffer = io.BytesIO()
            Image.new("RGB", (600, 400), "red").save(buffer, "PNG")
            self._respond("image/png", buffer.getvalue())
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._respond("text/plain", b"")

    def _respond(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def stream() -> bytes:
    y, x = np.mgrid[0:200, 0:300]
    pixels = np.stack([x * 255 // 300, y * 255 // 200, 128 + 0 * x], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return thumbstream.encode(buffer.getvalue(), size=32)


@pytest.fixture
def origin(stream: bytes) -> Iterator[str]:
    Handler.stream = stream
    Handler.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=CLIENT))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Handler.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=[firefox, webkit], ids=["firefox", "webkit"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Driver]:
    with request.param(tmp_path_factory.mktemp("browser")) as driver:
        if driver is None:
            pytest.skip(f"{request.param.__name__} is not installed")
        yield driver


def pixels_of(url: str) -> list[list[list[int]]]:
    data = base64.b64decode(url.partition("base64,")[2].rstrip('")'))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int).tolist()  # type: ignore[no-any-return]


def test_previews(browser: Driver, origin: str, stream: bytes) -> None:
    """First look, error, the worker's pixels, and the picture."""
    browser.open(f"{origin}/page.html?scenario")
    found = Handler.found.get(timeout=60)
    assert "error" not in found
    assert found["first"].startswith('url("data:imag')
    assert found["size"] == [300, 200]
    assert found["loaded"] is False
    shown = np.array(pixels_of(found["sharpened"]))
    expected = thumbstream.decode(stream[:INLINED]).astype(int)
    np.testing.assert_allclose(shown, expected, atol=1)
    assert found["last"] == "none"


def test_webassembly_and_javascript_draw_the_same(
    browser: Driver, origin: str, stream: bytes
) -> None:
    Handler.released.set()
    browser.open(f"{origin}/page.html")
    text = base64.b64encode(stream[:INLINED]).decode()
    decoded = f"""[true, false].map(async (wasm) =>
      [...(await load({{ wasm }})).decode("{text}").data])"""
    module = 'import("/thumbstream.min.js")'
    both = browser.evaluate(f"{module}.then(({{ load }}) => Promise.all({decoded}))")
    assert isinstance(both, list), both
    np.testing.assert_allclose(both[0], both[1], atol=1)
    expected = thumbstream.decode(stream[:INLINED]).astype(int)
    shape = (*expected.shape[:2], 4)
    np.testing.assert_allclose(np.reshape(both[0], shape)[..., :3], expected, atol=1)
