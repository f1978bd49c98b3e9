"""Tables of results: rows of cells from the JSON, for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thumbstream_models.evaluate.results import BEST, Results

Rows = list[list[str]]
_FILE_RATES = ("ssim", "psnr")
CHARGED = {
    "headline": "All bytes of thumbstream count; of the other codecs only the payload, without "
    "headers.",
    "payload": "Only the payload counts, without headers.",
    "file": "All bytes of the file count.",
}
"""Which bytes a table compares with the budget, by view: see `charge`."""
OTHER_MEASURES = {
    "PSNR-HVS-M in dB / FLIP": ("psnr_hvs_m", "flip"),
    "chroma error / lightness error": ("chroma", "lightness"),
}
"""Titles and measures of the tables beside that of SSIM and PSNR."""


def charge(codec: Mapping[str, Any], view: str) -> str:
    """Which points of a codec a table shows: ``payload`` or ``file``; ``view`` is in `CHARGED`."""
    if view == "headline":
        return "file" if codec["kind"] == "model" else "payload"
    return view


def label(result: Results, name: str, view: str) -> str:
    """Name of a codec in a view of `CHARGED`; where models are compared, their ids."""
    codec = result["codecs"][name]
    return name if view == "payload" and codec["kind"] == "model" else str(codec["title"])


def model_ids(result: Results) -> list[str]:
    """Ids of all models of a result."""
    return [name for name, codec in result["codecs"].items() if codec["kind"] == "model"]


def main_codecs(result: Results) -> list[str]:
    """Names in the main tables: the reference, the best classical codec, and the baselines."""
    reference = result.get("reference")
    first = [name for name in (reference, BEST) if name and name in result["codecs"]]
    rest = [name for name in result["codecs"] if name not in (*first, *model_ids(result))]
    return first + rest


def quality_rows(
    result: Results,
    names: Iterable[str],
    budgets: Sequence[int],
    view: str = "headline",
    measures: tuple[str, str] = ("ssim", "psnr"),
) -> Rows:
    """A header and a row for each codec: two means, and in parentheses how many do not fit."""
    rows = [["codec", *(f"{budget} B" for budget in budgets)]]
    for name in names:
        codec = result["codecs"][name]
        points = codec["points"][charge(codec, view)]
        cells = {point["bytes"]: _quality(point, result, measures) for point in points}
        rows.append([label(result, name, view), *(cells[budget] for budget in budgets)])
    return rows


def saving_rows(result: Results, names: Iterable[str], measure: str = "ssim") -> Rows:
    """A header and a row for each codec: bytes of the reference at equal mean quality."""
    key = f"equal_{measure}"
    compared = {name: result["comparison"][name]["payload"] for name in names}
    budgets = sorted({p["bytes"] for c in compared.values() for p in c[key]})
    rows = [["against", *(f"{budget} B" for budget in budgets)]]
    for name, against in compared.items():
        cells = {point["bytes"]: _ratio(point) for point in against[key]}
        title = result["codecs"][name]["title"]
        rows.append([title, *(cells.get(budget, "-") for budget in budgets)])
    return rows


def bjontegaard_rows(
    result: Results, names: Iterable[str], views: Sequence[str] = ("payload", "file")
) -> Rows:
    """A header and a row for each codec: Bjontegaard difference of bytes by measure and view."""
    suffixes = {"payload": "", "file": ", file"}
    titles = result["metrics"]
    columns = [(view, m) for view in views for m in (titles if view == "payload" else _FILE_RATES)]
    rows = [["against", *(titles[measure] + suffixes[view] for view, measure in columns)]]
    for name in names:
        rates = {view: result["comparison"][name][view]["bjontegaard_rate"] for view in views}
        cells = [_percent(rates[view][measure]) for view, measure in columns]
        rows.append([result["codecs"][name]["title"], *cells])
    return rows


def plain(result: Results) -> str:
    """All tables of one result for a terminal."""
    names, budgets = main_codecs(result), result["budgets"]
    parts = [describe_pictures(result)]
    if names:
        parts += [f"SSIM / PSNR. {CHARGED['headline']}"]
        parts += [aligned(quality_rows(result, names, budgets))]
        for title, measures in OTHER_MEASURES.items():
            parts += [title, aligned(quality_rows(result, names, budgets, measures=measures))]
        parts += [
            f"SSIM / PSNR. {CHARGED['file']}",
            aligned(quality_rows(result, names, budgets, "file")),
        ]
    if len(model_ids(result)) > 1:
        parts += [f"Models, SSIM / PSNR. {CHARGED['payload']}"]
        parts += [aligned(quality_rows(result, model_ids(result), budgets, "payload"))]
    if result.get("comparison"):
        title = result["codecs"][result["reference"]]["title"]
        others = list(result["comparison"])
        parts += [
            f"bytes of {title} at the mean SSIM of the other codec, as a fraction of its bytes",
            aligned(saving_rows(result, others)),
            "the same by PSNR",
            aligned(saving_rows(result, others, "psnr")),
            "Bjontegaard difference of bytes",
            aligned(bjontegaard_rows(result, others)),
        ]
    parts += entropy_saving(result)
    return "\n\n".join(parts)


def describe_pictures(result: Results) -> str:
    """Pictures, grid and model of a result, in one line."""
    reference = result.get("reference")
    model = f", model `{reference}`" if reference in model_ids(result) else ""
    return describe_grid(result) + model


def describe_grid(result: Results) -> str:
    """Pictures and grid of a result, in one line."""
    p = result["pictures"]
    small = f", {p['too_small']} too small and omitted" if p["too_small"] else ""
    return (
        f"{p['count']} pictures ({', '.join(p['sources'])}{small}), {p['size']} pixels, "
        f"{p['reduction']}"
    )


def entropy_saving(result: Results) -> list[str]:
    """What the entropy coder saves of the bytes of models that have binary codes."""
    saved = result.get("entropy_saving")
    if not saved:
        return []
    models = "; ".join(
        f"{name} "
        + " and ".join(f"{100 * part:.1f} % at {budget} bytes" for budget, part in saving.items())
        for name, saving in saved.items()
    )
    return [f"The entropy coder saves, compared with the same codes as raw bits: {models}."]


def markdown(rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """``rows`` as Markdown; with ``numbers`` all columns but the first are aligned right."""
    rule = ["---"] + ["---:" if numbers else "---"] * (len(rows[0]) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)


_CELL = {
    "ssim": "{:.3f}",
    "psnr": "{:.1f}",
    "psnr_hvs_m": "{:.1f}",
    "flip": "{:.3f}",
    "chroma": "{:.2f}",
    "lightness": "{:.2f}",
}


def _quality(point: Mapping[str, Any], result: Results, measures: Sequence[str]) -> str:
    if point["unfit"] == result["pictures"]["count"]:
        return "-"
    unfit = f" ({point['unfit']})" if point["unfit"] else ""
    return (
        " / ".join(_CELL[name].format(point[name]).removeprefix("0") for name in measures) + unfit
    )


def _ratio(point: Mapping[str, Any]) -> str:
    if point["ratio"] is None:
        return "not reached"
    if point["at_most"]:
        return f"under {point['ratio']:.2f}"
    low, high = (f"{x:.2f}" if x is not None else "?" for x in point["ratio_95"])
    unfit = f" ({point['unfit']})" if point["unfit"] else ""
    return f"{point['ratio']:.2f} [{low}, {high}]{unfit}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"
