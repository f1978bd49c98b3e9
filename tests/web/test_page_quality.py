"""The pages against budgets for loading, and the rules of axe, in both colour schemes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from launch import Service
from playwright.sync_api import Browser, Page, Request

TIMEOUT_MS = 60_000
PHONE, DESKTOP = (390, 844), (1440, 900)
TARGET = 44
"""CSS pixels: the least width and height of what can be pressed."""

READY = {
    "/": "body:has(#bytes:enabled):has(#webp[aria-busy=false]):has(#blurhash[aria-busy=false])",
    "/gallery": "body[data-state=shown]",
    "/docs": "main section",
}
PAGES = ("/", "/gallery")

BUDGETS = {
    # page: requests, kilobytes of the page's own files, kilobytes in all
    "/": (13, 28, 260),
    "/gallery": (16, 24, 360),
}
"""On a first visit, as transferred. The rest are photographs, the client and its weights."""
MAX_BLOCKING_MS = 200
"""Total blocking time that Lighthouse calls good; here in processor time, so that other programs on
the machine do not count."""
LONG_TASK_MS = 50
MAX_SHIFT = 0.01

OBSERVE = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) shift += value;
}).observe({ type: "layout-shift", buffered: true });
"""

SMALL_TARGETS = """(least) => [...document.querySelectorAll(
  "a, button, select, summary, input, label.button, .segments label, .switch")]
  .filter((element) => element.checkVisibility() && !element.matches(".unseen, label > input"))
  .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < least || height < least)
  .map(([html, { width, height }]) => `${width} x ${height}: ${html}`)"""

COVERED = """() => [...document.querySelectorAll("*")]
  .filter((element) => ["fixed", "sticky"].includes(getComputedStyle(element).position))
  .map((element) => element.outerHTML.slice(0, 80))"""

Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, service: str) -> Iterator[Visit]:
    """Open a page in a fresh context, and wait until it is ready."""
    contexts = []

    def open_(
        path: str,
        size: tuple[int, int] = DESKTOP,
        scheme: Any = "light",
        loaded: list[Request] | None = None,
    ) -> Page:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(OBSERVE)
        if loaded is not None:
            context.on("requestfinished", lambda request: loaded.append(request))
        page.goto(service + path)
        page.wait_for_selector(READY[path])
        page.wait_for_timeout(300)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("path", READY)
def test_axe_finds_nothing(visit: Visit, path: str, size: tuple[int, int], scheme: str) -> None:
    page = visit(path, size, scheme)
    for summary in page.locator("summary:visible").all():
        summary.click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_in_an_error(visit: Visit, path: str) -> None:
    page = visit(path)
    page.route(
        "**/compress*",
        lambda route: route.fulfill(status=401, json={"title": "No", "code": "unauthorized"}),
    )
    files = "#file" if path == "/" else "#files"
    page.set_input_files(files, {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    page.wait_for_selector("#alert:not([hidden])")
    page.wait_for_selector("#access:not([hidden])")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("path", PAGES)
def test_targets_fit_a_finger_and_nothing_covers_the_pictures(visit: Visit, path: str) -> None:
    page = visit(path, PHONE)
    for summary in page.locator("summary:visible").all():
        summary.click()
    assert page.evaluate(SMALL_TARGETS, TARGET) == []
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("path", READY)
def test_pages_fit_a_phone(visit: Visit, path: str) -> None:
    page = visit(path, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("path", PAGES)
def test_first_visit_neither_blocks_nor_shifts(
    browser: Browser, visit: Visit, path: str, size: tuple[int, int]
) -> None:
    browser.start_tracing(categories=["disabled-by-default-devtools.timeline"])
    try:
        page = visit(path, size)
    finally:
        trace = json.loads(browser.stop_tracing())
    assert page.evaluate("shift") <= MAX_SHIFT
    tasks = task_milliseconds(trace["traceEvents"])
    assert len(tasks) > 10
    assert sum(max(0.0, task - LONG_TASK_MS) for task in tasks) <= MAX_BLOCKING_MS, max(tasks)


def task_milliseconds(events: list[dict[str, Any]]) -> list[float]:
    """Processor time of each task of the main threads of pages."""
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask"
        and (event["pid"], event["tid"]) in threads
        and "tdur" in event
    ]


@pytest.mark.parametrize("path", PAGES)
def test_requests_and_bytes_of_a_first_visit(visit: Visit, path: str) -> None:
    requests: list[Request] = []
    page = visit(path, loaded=requests)
    page.wait_for_load_state("networkidle")
    loaded = [(urlsplit(r.url).path, bytes_of(r)) for r in requests if r.url.startswith("http")]
    most, own, total = BUDGETS[path]
    paths = [name for name, _ in loaded]
    assert len(paths) <= most, paths
    assert sum(size for _, size in loaded) <= 1000 * total, loaded
    files = [(name, size) for name, size in loaded if name == path or name.startswith("/web/")]
    assert sum(size for name, size in files if not name.endswith(".jpg")) <= 1000 * own, files


def bytes_of(request: Request) -> int:
    """Bytes of a response with its header fields, as they were transferred."""
    sizes = request.sizes()
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def test_pages_work_below_a_root_path(browser: Browser, tmp_path: Path) -> None:
    settings = {
        "THUMBSTREAM_STORE": f"sqlite:///{tmp_path / 'streams.db'}",
        "THUMBSTREAM_ROOT_PATH": "/previews",
    }
    running = Service(tmp_path, settings)
    running.start()
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    failed: list[str] = []
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    page.on("requestfailed", lambda request: failed.append(request.url))
    try:
        for path, ready in READY.items():
            page.goto(f"{running.url}/previews{path}")
            page.wait_for_selector(ready)
            assert failed == []
            assert f"{running.url}/previews/gallery" in page.locator("nav a").evaluate_all(
                "(links) => links.map(({ href }) => href)"
            )
    finally:
        page.close()
        running.stop()
