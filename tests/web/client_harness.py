"""Pages with ``<thumb-stream>`` in a real Chromium, and a server that answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import BrowserContext, Page, Route

PATIENCE_MS = 60_000
"""For whatever an element has to do: a busy machine is slow, and a wrong element fails anyway."""

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
"""Runs before the page: notes the elements' events, and what moves."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 8px; font: 16px/1.5 sans-serif }} {style}</style>
<script type="module" blocking="render" src="{client}/element.min.js"></script>
{body}
"""


class Shown:
    """One page, what it asked for, and what its elements tell."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(WATCH)
        self.origin = origin
        self.asked: list[tuple[str, str | None]] = []
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        context.on(
            "request",
            lambda r: self.asked.append(
                (r.url.removeprefix(origin), r.headers.get("range")),
            ),
        )

    def open(self, body: str, *, style: str = "", client: str = "/client", csp: str = "") -> Shown:
        """Show a page of this origin with these elements."""
        html = PAGE.format(body=body, style=style, client=client)
        headers = {"Content-Type": "text/html", **({"Content-Security-Policy": csp} if csp else {})}
        self.page.route("**/page.html", lambda route: route.fulfill(body=html, headers=headers))
        self.page.goto(f"{self.origin}/page.html", wait_until="domcontentloaded")
        return self

    def answer(self, path: str, **answer: Any) -> None:
        """Answer requests for a path of any host with this."""
        self.page.route(path, lambda route: route.fulfill(**answer))

    def hold(self, path: str) -> Callable[[], None]:
        """Let no request for a path through until what is returned is called."""
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

    def until(self, condition: str, argument: Any = None) -> Shown:
        """Wait until an expression of the page is true; ``(argument) => ..`` may be one."""
        # wait_for_function() is refused by pages whose policy permits no eval().
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.ask(condition, argument):
            assert time.monotonic() < deadline, f"never true: {condition}; {self.events()}"
            self.page.wait_for_timeout(20)
        return self

    def complete(self) -> Shown:
        """Wait until no element waits for anything, and nothing fades any more."""
        return self.until(
            """customElements.get("thumb-stream") &&
            [...document.querySelectorAll("thumb-stream")].every(
              (element) => element.complete && element.shadowRoot.getAnimations().length === 0)"""
        )

    def ask(self, expression: str, argument: Any = None) -> Any:
        """The value of an expression of the page."""
        return self.page.evaluate(expression, argument)

    def events(self) -> list[str]:
        """`<id> <type>` of all elements, in their order."""
        found: list[str] = self.ask("events")
        return found

    def shifts(self) -> list[Any]:
        """What moved: `[value, nodes]` each."""
        self.ask("new Promise((go) => requestAnimationFrame(() => setTimeout(go, 50)))")
        found: list[Any] = self.ask("shifts")
        return found

    def boxes(self) -> list[list[float]]:
        """`[width, height]` of all elements, in CSS pixels."""
        found: list[list[float]] = self.ask(
            """[...document.querySelectorAll("thumb-stream")].map((element) => {
              const { width, height } = element.getBoundingClientRect();
              return [width, height];
            })"""
        )
        return found

    def pixels(self, identity: str) -> list[int]:
        """RGBA of the preview that is painted; empty where there is none."""
        found: list[int] = self.ask(
            """(id) => {
              const canvas = document.getElementById(id).shadowRoot.querySelector("canvas");
              if (!canvas?.width) return [];
              const { width, height } = canvas;
              return [...canvas.getContext("2d").getImageData(0, 0, width, height).data];
            }""",
            identity,
        )
        return found

    def names(self) -> list[str]:
        """The names of all images that a screen reader meets."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        return [
            node.get("name", {}).get("value", "")
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in ("image", "img", "StaticText")
        ]

    def ranges(self, path: str) -> list[str | None]:
        """The Range fields of the requests for a path."""
        return [span for asked, span in self.asked if asked == path]


class Told:
    """What a server does: it sends the first bytes of a stream, and then as it is told."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.go_on = threading.Event()
        self.gone = threading.Event()
        """Set when a client leaves before its answer has ended."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        how, _, count = request.path.strip("/").partition("/")
        wanted = request.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        start, _, last = wanted.partition("-")
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
        while not self.go_on.wait(0.02):
            if _left(request):
                self.gone.set()
                return
        if how == "break":
            request.close_connection = True
        else:
            request.wfile.write(part[int(count) :])


def _left(request: BaseHTTPRequestHandler) -> bool:
    request.connection.setblocking(False)
    try:
        return request.connection.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        request.connection.setblocking(True)


@contextmanager
def told(stream: bytes) -> Iterator[tuple[str, Told]]:
    """``/stall/N`` sends N bytes, and the rest after `Told.go_on`; ``/break/N`` hangs up then."""
    behaviour = Told(stream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_OPTIONS(self) -> None:
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "Range")
            self.end_headers()

        def do_GET(self) -> None:
            behaviour.answer(self)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", behaviour
    finally:
        behaviour.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
