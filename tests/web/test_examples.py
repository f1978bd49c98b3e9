"""The page of examples in a real Chromium: each shows what its code says, and nothing moves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parent))

from client_harness import Shown

WEB = Path(__file__).resolve().parents[2] / "service" / "thumbstream" / "web"
SIZES = [(1280, 900), (390, 844)]
EMPTY = """[...document.querySelectorAll("thumb-stream")].filter(
  (element) => element.id !== "broken" && element.naturalWidth === 0).length"""
SHOWN = """[...document.querySelectorAll(".example")].map((example) => [
  example.querySelector(".live").innerHTML, example.querySelector("pre").textContent])"""


@pytest.fixture(params=SIZES, ids=["desktop", "phone"])
def examples(browser: Browser, service: str, request: pytest.FixtureRequest) -> Iterator[Shown]:
    """The page, opened; at the end it must have been quiet."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    shown = Shown(context, service)
    shown.page.on("console", lambda message: shown.complaints.append(message.text))
    shown.page.goto(f"{service}/examples")
    yield shown
    context.close()
    assert shown.complaints == []


def words(code: str) -> list[str]:
    """Markup without the space between its parts, and without what scripts and buttons add."""
    code = re.sub(r"<button.*", "", code, flags=re.DOTALL)
    code = re.sub(r"(<output[^>]*>)[^<]*", r"\1", code)
    code = re.sub(r' (style|bytes)="[^"]*"', "", code)
    return re.sub(r"\s+", " ", re.sub(r"\s*([<>])\s*", r" \1 ", code)).split()


def test_every_example_shows_its_picture_and_nothing_moves(examples: Shown) -> None:
    examples.until("document.querySelector('#sharper').bytes === '256'")
    examples.ask("document.querySelector('#lazy').scrollIntoView()")
    examples.until(f"{EMPTY} === 0").complete()
    assert examples.shifts() == []
    root = "document.documentElement"
    assert examples.ask(f"{root}.scrollWidth <= {root}.clientWidth")
    assert examples.ask("document.querySelector('#fade').naturalWidth") == 640
    assert examples.ask("document.querySelector('#broken > img').checkVisibility()")
    assert "bitstream 0" in examples.page.inner_text("#broken + output")
    colours = examples.ask(
        "[...document.querySelectorAll('[data-stream]')].map((box) => box.style.background)"
    )
    assert len(colours) == 4
    assert all(colour.startswith("rgb") for colour in colours)
    for live, code in examples.ask(SHOWN):
        assert words(live) == words(code)
    assert [url for url, _ in examples.asked if "compress" in url] == []


def test_what_is_far_away_waits(examples: Shown) -> None:
    examples.until("document.querySelector('#sharper').complete")
    assert examples.ask("document.querySelector('#lazy').naturalWidth") == 0
    examples.ask("document.querySelector('#lazy').scrollIntoView()")
    examples.until("document.querySelector('#lazy').naturalWidth > 0")
    examples.until("document.querySelector('#lazy + output').value.startsWith('Loaded')")


def test_buttons(examples: Shown) -> None:
    examples.page.click("[data-action=spend]")
    said = "document.querySelector('[data-action=spend] + output').value"
    examples.until(f"{said}.startsWith('Each has got')")
    spent = [int(number) for number in re.findall(r"\d+", examples.ask(said))]
    assert len(spent) == 6
    assert 400 < sum(spent) <= 480
    assert [url for url, _ in examples.asked if url.startswith("/thumb/")] == []
    examples.page.click("[data-action=fade]")
    fade = "document.querySelector('#fade')"
    examples.until(f"{fade}.naturalWidth < 640").until(f"{fade}.naturalWidth === 640")
    assert examples.shifts() == []


def test_the_scripts_shown_are_those_that_run() -> None:
    page = (WEB / "examples.html").read_text()
    shown = re.findall(r'<pre data-file="(\w+\.js)"><code>(.*?)</code></pre>', page, re.DOTALL)
    assert {name for name, _ in shown} == {path.name for path in (WEB / "examples").glob("*.js")}
    for name, text in shown:
        plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert plain == (WEB / "examples" / name).read_text().strip()
