"""The marked sections of README.md and docs/benchmark.md, made of the JSON files alone.

A test makes them again and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from thumbstream_models.evaluate.acceptance import PRODUCT, goals
from thumbstream_models.evaluate.paper_claims import claims
from thumbstream_models.evaluate.results import Results
from thumbstream_models.evaluate.tables import (
    CHARGED,
    bjontegaard_rows,
    markdown,
    quality_rows,
    saving_rows,
    saving_sentence,
    shown,
    systems,
    what,
)

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADLINE = "photographs"
"""The result that README.md shows."""
DIGEST_BYTES = (16, 32, 64, 128, 256)
_UNFIT = (
    "In brackets: pictures that cannot be coded in the budget, scored as their mean colour; `-` "
    "where that is all of them."
)


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


def detail(results: Mapping[str, Results]) -> str:
    """The section of docs/benchmark.md: the headline first, the others by name."""
    results = dict(sorted(results.items(), key=lambda item: (item[0] != HEADLINE, item[0])))
    parts: list[str] = []
    for name, result in results.items():
        parts += _result(name, result)
    ours = {name: result for name, result in results.items() if _is_the_papers(result)}
    if ours:
        parts += [
            "### The systems of the paper",
            "All published models on the grid of arXiv 1511.06085, the whole picture squashed to "
            f"32 x 32. {CHARGED['payload']} Mean SSIM / PSNR in dB at each budget.",
        ]
        for name, result in ours.items():
            parts += [f"#### {name}", f"{what(result)}.", *_models(name, result)]
            found = markdown(claims(result), numbers=False)
            parts += ["The claims of the paper on these pictures:", found]
    parts += _counted(results)
    return _joined(parts)


def digest(results: Mapping[str, Results]) -> str:
    """The section of README.md: one result, in short."""
    if not results:
        return ""
    name = HEADLINE if HEADLINE in results else next(iter(results))
    result = results[name]
    budgets = [budget for budget in DIGEST_BYTES if budget in result["budgets"]]
    return _joined(
        [
            f"![SSIM against bytes](models/results/{name}.svg)",
            f"Mean SSIM / PSNR in dB. {what(result)}. {CHARGED['headline']} In brackets: pictures "
            "that cannot be coded in so few bytes. Best classical: for each picture the best of "
            "the formats below that have a quality setting.",
            markdown(quality_rows(result, shown(result), budgets)),
        ]
    )


def _result(name: str, result: Results) -> list[str]:
    names, budgets = shown(result), result["budgets"]
    parts = [f"### {name}", f"{what(result)}. {_versions(result)}"]
    if names:
        parts += [
            f"![SSIM against bytes, {name}](../models/results/{name}.svg)",
            f"Mean SSIM / PSNR in dB at each budget of bytes. {CHARGED['headline']} {_UNFIT}",
            markdown(quality_rows(result, names, budgets)),
            "The same by PSNR-HVS-M in dB / FLIP (0 is equal, less is better):",
            markdown(quality_rows(result, names, budgets, measures=("psnr_hvs_m", "flip"))),
            f"Mean SSIM / PSNR in dB. {CHARGED['whole']}",
            markdown(quality_rows(result, names, budgets, "whole")),
        ]
    if (reached := goals(result)) and len(reached) > 1:
        parts += [
            f"What `{PRODUCT}` is to reach, its header counted, against the payload of the others:",
            markdown(reached, numbers=False),
        ]
    if result.get("comparison"):
        parts += _comparison(result)
    if len(systems(result)) > 1 and not _is_the_papers(result):
        parts += [f"All models. {CHARGED['payload']}", *_models(name, result)]
    return parts + saving_sentence(result)


def _comparison(result: Results) -> list[str]:
    title = result["codecs"][result["reference"]]["title"]
    others = [name for name in shown(result) if name != result["reference"]]
    if not others:
        return []
    return [
        f"Bytes that {title} needs, header included, for the mean SSIM that the other codec "
        "reaches in that many bytes of payload, as a fraction of them (below 1: fewer bytes), with "
        "95 % intervals, where half of the pictures or more fit:",
        markdown(saving_rows(result, others)),
        f"Bjontegaard's mean difference of the bytes of {title}, by each measure, against the "
        "payload of the other codec and against its whole file:",
        markdown(bjontegaard_rows(result, others)),
    ]


def _models(name: str, result: Results) -> list[str]:
    """All models with each other, by payload."""
    ours, reference = systems(result), result.get("reference")
    parts = [
        f"![SSIM against bytes, models, {name}](../models/results/{name}-models.svg)",
        markdown(quality_rows(result, ours, result["budgets"], "payload")),
    ]
    others = [model for model in ours if model != reference]
    if reference in ours:
        parts += [
            f"Bytes that `{reference}` needs at equal mean SSIM, as a fraction, and Bjontegaard's "
            "mean difference of its bytes:",
            markdown(saving_rows(result, others)),
            markdown(bjontegaard_rows(result, others, ("payload",))),
        ]
    return parts


def _is_the_papers(result: Results) -> bool:
    """Whether it holds several models on the grid of the paper."""
    p = result["pictures"]
    return p["grid"] == "squash" and p["size"] == 32 and len(systems(result)) > 1


def _counted(results: Mapping[str, Results]) -> list[str]:
    """What is searched and charged, once for each codec; models share one entry."""
    told: dict[str, str] = {}
    for result in results.values():
        for codec in result["codecs"].values():
            told.setdefault(
                "models" if codec["kind"] == "model" else codec["title"], codec["counted"]
            )
    if not told:
        return []
    lines = "\n".join(f"- {title}: {counted}" for title, counted in told.items())
    return ["### What is searched, and what is payload", lines]


def _versions(result: Results) -> str:
    versions = result["environment"]["versions"]
    told = [
        f"{name} {version}"
        for name, version in versions.items()
        if "/" not in name and name != "providers"
    ]
    return ", ".join(told) + "."


def _joined(parts: list[str]) -> str:
    return "".join(f"\n{part}\n" for part in parts) + "\n" if parts else ""
