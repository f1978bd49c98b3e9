"""Tables of results: plain text for a terminal, Markdown for the pages that show them.

The pages hold a marked section that is made of the JSON files and of nothing else; a test makes it
again and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thumbstream_models.results import Results

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADLINE = "photographs"
"""The result that README.md shows."""
DIGEST_BYTES = (16, 32, 64, 128, 256)


def write(page: Path, section: str) -> None:
    """Replace the marked section of ``page``; raises `ValueError` if it has none."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} needs one {BEGIN} and one {END}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{section}{END}{after}", encoding="utf-8")


def marked(text: str) -> str:
    """The marked section of a page."""
    return text.split(f"{BEGIN}\n")[1].split(END)[0]


def quality_rows(result: Results, budgets: Sequence[int]) -> list[list[str]]:
    """A header and a row for each codec: mean SSIM / PSNR, and in brackets how many do not fit."""
    rows = [["codec", *(f"{budget} B" for budget in budgets)]]
    for codec in result["codecs"].values():
        cells = {point["bytes"]: _quality(point, result) for point in codec["points"]}
        rows.append([codec["title"], *(cells[budget] for budget in budgets)])
    return rows


def saving_rows(result: Results) -> list[list[str]]:
    """A header and a row for each baseline: bytes that thumbstream needs at equal mean SSIM."""
    compared = result["comparison"]
    budgets = sorted({p["bytes"] for c in compared.values() for p in c["equal_ssim"]})
    rows = [["against", *(f"{b} B" for b in budgets), "mean, SSIM", "mean, PSNR"]]
    for name, against in compared.items():
        cells = {point["bytes"]: _ratio(point) for point in against["equal_ssim"]}
        rows.append(
            [
                result["codecs"][name]["title"],
                *(cells.get(budget, "-") for budget in budgets),
                _percent(against["bjontegaard_rate_ssim"]),
                _percent(against["bjontegaard_rate_psnr"]),
            ]
        )
    return rows


def plain(result: Results) -> str:
    """All tables of one result, aligned for a terminal."""
    parts = [_what(result), _aligned(quality_rows(result, result["budgets"]))]
    if "comparison" in result:
        parts += [
            "bytes that thumbstream needs for the mean SSIM of the others, as a fraction of theirs",
            _aligned(saving_rows(result)),
        ]
        parts += _saving_sentence(result)
    return "\n\n".join(parts)


def detail(results: Mapping[str, Results]) -> str:
    """The section of docs/benchmark.md."""
    if not results:
        return ""
    parts: list[str] = []
    for name, result in results.items():
        parts += [
            f"### {name}",
            f"{_what(result)}. {_environment(result)}",
            f"![SSIM against bytes, {name}](../models/results/{name}.svg)",
            "Mean SSIM / PSNR in dB at each budget of bytes. In brackets: pictures that cannot be "
            "coded in the budget, scored as their mean colour; `-` where that is all of them.",
            _markdown(quality_rows(result, result["budgets"])),
        ]
        if "comparison" in result:
            parts += [
                "Bytes that thumbstream needs for the mean SSIM that the other codec reaches in "
                "that many bytes, as a fraction of them (below 1: fewer bytes), with 95 % "
                "intervals, where half of the pictures or more fit; "
                "then Bjontegaard's mean difference of bytes.",
                _markdown(saving_rows(result)),
                *_saving_sentence(result),
            ]
        parts += ["What is searched and what is charged:"]
        parts.append(
            "\n".join(f"- {c['title']}: {c['counted']}" for c in result["codecs"].values())
        )
    return "".join(f"\n{part}\n" for part in parts) + "\n"


def digest(results: Mapping[str, Results]) -> str:
    """The section of README.md: one result, in short."""
    if not results:
        return ""
    name = HEADLINE if HEADLINE in results else next(iter(results))
    result = results[name]
    budgets = [budget for budget in DIGEST_BYTES if budget in result["budgets"]]
    parts = [
        f"![SSIM against bytes](models/results/{name}.svg)",
        f"Mean SSIM / PSNR in dB. {_what(result)}. In brackets: pictures that cannot be coded in "
        "so few bytes. All bytes of thumbstream are counted; of the others only the payload, "
        "without headers.",
        _markdown(quality_rows(result, budgets)),
    ]
    return "".join(f"\n{part}\n" for part in parts) + "\n"


def _what(result: Results) -> str:
    p = result["pictures"]
    sources = ", ".join(p["sources"])
    model = result["environment"].get("model")
    subject = f", model `{model}`" if model else ""
    return f"{p['count']} pictures ({sources}), {p['size']} pixels, {p['reduction']}{subject}"


def _environment(result: Results) -> str:
    e = result["environment"]
    versions = ("pillow", "libjpeg-turbo", "openjpeg", "libwebp", "libavif")
    return ", ".join(f"{name} {e[name]}" for name in versions if e.get(name)) + "."


def _quality(point: Mapping[str, Any], result: Results) -> str:
    if point["unfit"] == result["pictures"]["count"]:
        return "-"
    unfit = f" ({point['unfit']})" if point["unfit"] else ""
    return f"{_fraction(point['ssim'])} / {point['psnr']:.1f}{unfit}"


def _ratio(point: Mapping[str, Any]) -> str:
    if point["ratio"] is None:
        return "not reached"
    if point["at_most"]:
        return f"under {point['ratio']:.2f}"
    low, high = (f"{x:.2f}" if x is not None else "?" for x in point["ratio_95"])
    unfit = f" ({point['unfit']})" if point["unfit"] else ""
    return f"{point['ratio']:.2f} [{low}, {high}]{unfit}"


def _fraction(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if 0 <= value < 1 else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def _saving_sentence(result: Results) -> list[str]:
    saved = result.get("entropy_saving")
    if not saved:
        return []
    told = " and ".join(f"{100 * part:.1f} % at {budget} bytes" for budget, part in saved.items())
    return [f"The entropy coder saves {told} against the same codes as raw bits."]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(rows[0]) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)
