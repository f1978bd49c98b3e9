"""Pages with ``<thumb-stream>`` in Chromium, and a server that interrupts its responses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import BrowserContext, Page, Route

TIMEOUT_MS = 60_000
"""Long, because the machine may be busy; a wrong element fails anyway."""

WATCH = """
window.events = [];
window.shifts = [];
for (const type of ["load", "error", "preview"]) {
  document.addEventListener(type, ({ target }) => {
    if (target.localName === "thumb-stream") events.push(`${target.id} ${type}`);
  }, true);
}
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) {
    shifts.push([value, sources.map(({ node }) => node?.outerHTML ?? "")]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
"""Runs before the page: records the events of the elements, and layout shifts."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 8px; font: 16px/1.5 sans-serif }} {style}</style>
<script type="module" blocking="render" src="{client}/element.min.js"></script>
{body}
"""


class BrowserPage:
    """One page, its requests, and the events of its elements."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.add_init_script(WATCH)
        self.origin = origin
        self.requests: list[tuple[str, str | None]] = []
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        context.on(
            "request",
            lambda r: self.requests.append(
                (r.url.removeprefix(origin), r.headers.get("range")),
            ),
        )

    def open(
        self, body: str, *, style: str = "", client: str = "/client", csp: str = ""
    ) -> BrowserPage:
        """Open a page of this origin with these elements."""
        html = PAGE.format(body=body, style=style, client=client)
        headers = {"Content-Type": "text/html", **({"Content-Security-Policy": csp} if csp else {})}
        self.page.route("**/page.html", lambda route: route.fulfill(body=html, headers=headers))
        self.page.goto(f"{self.origin}/page.html", wait_until="domcontentloaded")
        return self

    def fulfill(self, path: str, **response: Any) -> None:
        """Respond to requests for a path of any host."""
        self.page.route(path, lambda route: route.fulfill(**response))

    def hold(self, path: str) -> Callable[[], None]:
        """Delay the requests for a path until the returned function is called."""
        held: list[Route] = []
        open_: list[bool] = []

        def handle(route: Route) -> None:
            if open_:
                route.fallback()
            else:
                held.append(route)

        self.page.route(path, handle)

        def release() -> None:
            open_.append(True)
            for route in held:
                route.fallback()

        return release

    def wait_until(self, condition: str, argument: Any = None) -> BrowserPage:
        """Wait until an expression of the page is true; ``(argument) => ..`` may be one."""
        # wait_for_function() fails on pages with a policy that blocks eval().
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.evaluate(condition, argument):
            assert time.monotonic() < deadline, f"still false: {condition}; {self.events()}"
            self.page.wait_for_timeout(20)
        return self

    def wait_complete(self) -> BrowserPage:
        """Wait until all elements are complete and all animations have ended."""
        return self.wait_until(
            """customElements.get("thumb-stream") &&
            [...document.querySelectorAll("thumb-stream")].every(
              (element) => element.complete && element.shadowRoot.getAnimations().length === 0)"""
        )

    def evaluate(self, expression: str, argument: Any = None) -> Any:
        """The value of an expression of the page."""
        return self.page.evaluate(expression, argument)

    def events(self) -> list[str]:
        """`<id> <type>` of all events, in order."""
        found: list[str] = self.evaluate("events")
        return found

    def shifts(self) -> list[Any]:
        """The layout shifts: `[value, nodes]` each."""
        self.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go, 50)))")
        found: list[Any] = self.evaluate("shifts")
        return found

    def boxes(self) -> list[list[float]]:
        """`[width, height]` of all elements, in CSS pixels."""
        found: list[list[float]] = self.evaluate(
            """[...document.querySelectorAll("thumb-stream")].map((element) => {
              const { width, height } = element.getBoundingClientRect();
              return [width, height];
            })"""
        )
        return found

    def pixels(self, identity: str) -> list[int]:
        """RGBA of the painted preview; empty if there is none."""
        found: list[int] = self.evaluate(
            """(id) => {
              const canvas = document.getElementById(id).shadowRoot.querySelector("canvas");
              if (!canvas?.width) return [];
              const { width, height } = canvas;
              return [...canvas.getContext("2d").getImageData(0, 0, width, height).data];
            }""",
            identity,
        )
        return found

    def image_names(self) -> list[str]:
        """The accessible names of all images and texts."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        return [
            node.get("name", {}).get("value", "")
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in ("image", "img", "StaticText")
        ]

    def ranges(self, path: str) -> list[str | None]:
        """The Range fields of the requests for a path."""
        return [span for url, span in self.requests if url == path]


class PartialServer:
    """Sends the first bytes of a stream, then waits for `resume`."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.resume = threading.Event()
        self.disconnected = threading.Event()
        """Set when a client disconnects before its response has ended."""

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        mode, _, count = request.path.strip("/").partition("/")
        requested = request.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        start, _, last = requested.partition("-")
        part = self.stream[int(start) : int(last) + 1 if last else None]
        request.send_response(206)
        request.send_header("Access-Control-Allow-Origin", "*")
        request.send_header("Cache-Control", "no-store")
        span = f"bytes {start}-{int(start) + len(part) - 1}/{len(self.stream)}"
        request.send_header("Content-Range", span)
        request.send_header("Content-Length", str(len(part)))
        request.end_headers()
        request.wfile.write(part[: int(count)])
        request.wfile.flush()
        while not self.resume.wait(0.02):
            if _is_disconnected(request):
                self.disconnected.set()
                return
        if mode == "break":
            request.close_connection = True
        else:
            request.wfile.write(part[int(count) :])


def _is_disconnected(request: BaseHTTPRequestHandler) -> bool:
    request.connection.setblocking(False)
    try:
        return request.connection.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        request.connection.setblocking(True)


@contextmanager
def partial_server(stream: bytes) -> Iterator[tuple[str, PartialServer]]:
    """``/stall/N`` sends N bytes, and the rest after `resume`; ``/break/N`` disconnects then."""
    server_state = PartialServer(stream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_OPTIONS(self) -> None:
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "Range")
            self.end_headers()

        def do_GET(self) -> None:
            server_state.respond(self)

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server_state
    finally:
        server_state.resume.set()
        server.shutdown()
        thread.join()
        server.server_close()
