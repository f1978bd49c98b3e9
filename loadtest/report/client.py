"""Tables of the client benchmark: one contender a column, and one row a target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WASM, PLAIN = "thumbstream, WebAssembly", "thumbstream, JavaScript"
ELEMENTS = "`<img data-thumb>`"
HASH, ONNX = "ThumbHash", "onnxruntime-web"
OWN = (WASM, PLAIN, ELEMENTS)

TARGETS: dict[str, float] = {
    "code, gzipped": 8192,
    "code and weights, gzipped": 160_000,
    "ready to decode": 20,
    "decode one picture, WebAssembly": 2,
    "decode one picture, JavaScript": 8,
    "a page of 100, worker not yet started": 300,
    "longest task of the page": 50,
    "layout shift of the gallery": 0,
}
"""Upper limits: bytes, then milliseconds, and last a sum of layout shifts."""

ROWS = (
    ("code, gzipped, KB", "bytes", "code"),
    ("code and weights, gzipped, KB", "bytes", "all"),
    ("ready to decode, ms", "milliseconds", "ready"),
    ("decode one picture, ms", "milliseconds", "decode"),
    ("a page of {thumbnails}, ms", "milliseconds", "page"),
    ("the first such page, ms", "milliseconds", "first"),
    ("longest task of the page, ms", "milliseconds", "task"),
)

Report = dict[str, Any]


def judged(report: Report) -> dict[str, dict[str, Any]]:
    """By target: the measured value, the limit, and whether it is met."""
    sizes, times = report["bytes"], report["milliseconds"]
    measured = (
        sizes[WASM]["code"],
        max(sizes[name]["all"] for name in OWN),
        times[WASM]["ready"],
        times[WASM]["decode"],
        times[PLAIN]["decode"],
        times[ELEMENTS]["first"],
        times[ELEMENTS]["task"],
        report["layout_shift"],
    )
    return {
        name: {"measured": value, "most": most, "met": value <= most}
        for (name, most), value in zip(TARGETS.items(), measured, strict=True)
    }


def table(report: Report) -> str:
    """The contenders' figures in Markdown, with the ratio to thumbstream in WebAssembly."""
    names = list(report["milliseconds"])
    lines = [_row(["", *names]), _row(["---", *["---:"] * len(names)])]
    for title, part, key in ROWS:
        reference = report[part][WASM].get(key)
        values = [report[part].get(name, {}).get(key) for name in names]
        shown = [_cell(part, key, value, reference) for value in values]
        lines.append(_row([title.format(**report["environment"]), *shown]))
    return "\n".join(lines)


def targets(report: Report) -> str:
    """One line per target: measured value, limit, and whether it is met."""
    return "\n".join(
        f"{name:38} {target['measured']:9} of at most {target['most']:6}: "
        f"{'met' if target['met'] else 'MISSED'}"
        for name, target in report["targets"].items()
    )


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(part: str, key: str, value: float | None, reference: float | None) -> str:
    if value is None:
        return "-"
    shown = f"{value / 1000:,.1f}" if part == "bytes" else _short(value)
    if key == "task":
        return shown if value else "under 50"
    return f"{shown} ({_short(value / reference)}x)" if reference else shown


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
