"""Pages with ``<img data-thumb>`` in a browser, and what their previews show."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable
from typing import Any

from PIL import Image
from playwright.sync_api import BrowserContext, Page, Route

TIMEOUT_MS = 60_000
"""Long, because the machine may be busy; a wrong element fails anyway."""

WATCH = """
window.events = [];
window.shifts = [];
for (const type of ["load", "error", "preview", "previewerror"]) {
  document.addEventListener(type, ({ target }) => {
    if (target.localName === "img") events.push(`${target.id} ${type}`);
  }, true);
}
if (PerformanceObserver.supportedEntryTypes.includes("layout-shift")) {
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      shifts.push([value, sources.map(({ node }) => node?.outerHTML ?? node?.data ?? null)]);
    }
  }).observe({ type: "layout-shift", buffered: true });
}
"""
"""Runs before the page: records the events of images, and layout shifts."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>body {{ margin: 8px; font: 16px/1.5 sans-serif }} {style}</style>
{script}
{body}
"""
SCRIPT = '<script type="module" src="{client}/images.min.js"></script>'

_PICTURE = re.compile(r'url\("data:image/(?:bmp|png);base64,([^"]*)"\)')


class BrowserPage:
    """One page, its requests, and the events of its images."""

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
        self, body: str, *, style: str = "", script: str = SCRIPT, client: str = "/client",
        csp: str = "",
    ) -> BrowserPage:  # fmt: skip
        """Open a page of this origin with these images."""
        html = PAGE.format(body=body, style=style, script=script.format(client=client))
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

    def wait_for(self, *events: str) -> BrowserPage:
        """Wait until all of these events were dispatched."""
        return self.wait_until("(wanted) => wanted.every((it) => events.includes(it))", events)

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
        # Chromium may move the alternative text of an image that it waits for: a node of its own.
        return [[value, nodes] for value, nodes in found if any(nodes)]

    def boxes(self) -> list[list[float]]:
        """`[width, height]` of all images, in CSS pixels."""
        found: list[list[float]] = self.evaluate(
            """[...document.images].map((image) => {
              const { width, height } = image.getBoundingClientRect();
              return [width, height];
            })"""
        )
        return found

    def background(self, identity: str) -> str:
        """The computed color and picture of an image's preview."""
        found: str = self.evaluate(
            """(id) => {
              const { backgroundColor, backgroundImage } = getComputedStyle(
                document.getElementById(id));
              return `${backgroundColor} ${backgroundImage}`;
            }""",
            identity,
        )
        return found

    def pixels(self, identity: str) -> list[int]:
        """RGBA of the painted preview; empty if there is none."""
        found = _PICTURE.search(self.background(identity))
        if not found:
            return []
        return list(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA").tobytes())

    def image_names(self) -> list[str]:
        """The accessible names of all images and texts."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        names = [
            node.get("name", {}).get("value", "")
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in ("image", "img", "StaticText")
        ]
        return [name for name in names if name.strip()]

    def ranges(self, path: str) -> list[str | None]:
        """The Range fields of the requests for a path."""
        return [span for url, span in self.requests if url == path]
