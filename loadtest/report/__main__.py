"""The report of everything measured: docs/performance.md and its plots, from the JSON of the runs.

    python -m loadtest.report                    write them
    python -m loadtest.report --check            status 1 if they differ from what the JSON gives
    python -m loadtest.report --html report.html the same as one self-contained page

Documents have blocks from ``<!-- NAME:begin -->`` to ``<!-- NAME:end -->`` (`tables.BLOCKS`). Their
content is generated; the prose around them is not changed. Any page of the documentation may have
such a block, so figures quoted there stay current. A block without results names the command that
measures them.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt

from loadtest.report.goals import Results
from loadtest.report.plots import Plot, plots
from loadtest.report.tables import BLOCKS, PLOTS, SUMMARY, render

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "loadtest" / "results"
PAGE = "docs/performance.md"

_NAMES = "|".join(map(re.escape, [SUMMARY, *BLOCKS]))
_BLOCK = re.compile(rf"<!-- ({_NAMES}):begin -->.*?<!-- \1:end -->", re.DOTALL)
_IMAGE = re.compile(rf'src="{PLOTS}/([a-z0-9-]+)\.svg"')
_HEADING = re.compile(r"<h2>(.*?)</h2>")
_LOCAL_LINK = re.compile(r'<a href="(?!https?:|#)[^"]*">(.*?)</a>')
_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>thumbstream: performance</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .15rem .6rem; border-bottom: 1px solid #8886 }
img { max-width: 100% }
</style>
"""


def main(argv: list[str] | None = None) -> int:
    """Write, check, or make the page; returns the exit status."""
    args = _arguments().parse_args(argv)
    results = read(args.results)
    if args.html:
        args.html.write_text(html(args.root, results), encoding="utf-8")
        return 0
    if args.check:
        stale = list(_stale(args.root, results))
        for path in stale:
            print(f"{path} is not what the results give: run make report", file=sys.stderr)
        return 1 if stale else 0
    _write(args.root, results)
    return 0


def read(folder: Path) -> Results:
    """Every JSON file of a folder, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def filled(document: str, results: Results) -> str:
    """The document with all blocks regenerated."""

    def block(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- {name}:begin -->\n\n{render(name, results)}\n\n<!-- {name}:end -->"

    return _BLOCK.sub(block, document)


def html(root: Path, results: Results) -> str:
    """The report as one self-contained page."""
    drawn = {plot.name: plot.svg() for plot in plots(results)}

    def embedded(found: re.Match[str]) -> str:
        data = base64.b64encode(drawn[found[1]].encode()).decode()
        return f'src="data:image/svg+xml;base64,{data}"'

    text = filled((root / PAGE).read_text(encoding="utf-8"), results)
    # The parser of the MyST and Jupyter projects: CommonMark, and tables.
    body = MarkdownIt("commonmark").enable("table").render(text)
    body = _HEADING.sub(lambda found: f'<h2 id="{found[1].lower()}">{found[1]}</h2>', body)
    return _HEAD + _LOCAL_LINK.sub(r"\1", _IMAGE.sub(embedded, body))


def _write(root: Path, results: Results) -> None:
    for path in _documents(root):
        document = path.read_text(encoding="utf-8")
        if (new := filled(document, results)) != document:
            path.write_text(new, encoding="utf-8")
    made = plots(results)
    folder = _plots(root)
    folder.mkdir(exist_ok=True)
    for path in _unknown(folder, made):
        path.unlink()
    for plot in made:
        (folder / f"{plot.name}.svg").write_text(plot.svg(), encoding="utf-8")


def _stale(root: Path, results: Results) -> list[Path]:
    documents = [(path, path.read_text(encoding="utf-8")) for path in _documents(root)]
    stale = [path for path, document in documents if filled(document, results) != document]
    made, folder = plots(results), _plots(root)
    drawn = [(folder / f"{plot.name}.svg", plot) for plot in made]
    stale += [path for path, plot in drawn if not _shows(path, plot)]
    return stale + _unknown(folder, made)


def _documents(root: Path) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _plots(root: Path) -> Path:
    return (root / PAGE).parent / PLOTS


def _shows(path: Path, plot: Plot) -> bool:
    return path.exists() and plot.digest in path.read_text(encoding="utf-8")


def _unknown(folder: Path, made: list[Plot]) -> list[Path]:
    known = {plot.name for plot in made}
    return [path for path in sorted(folder.glob("*.svg")) if path.stem not in known]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="write nothing, list what is stale")
    parser.add_argument("--html", type=Path, help="write this page, and nothing else")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of README.md and docs/")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
