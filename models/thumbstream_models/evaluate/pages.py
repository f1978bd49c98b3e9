"""Generated sections of README.md, docs/benchmark.md and models/results/README.md.

Every number in them comes from the JSON files in models/results. A test writes the sections again
and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from thumbstream_models.evaluate.acceptance import PRODUCT, acceptance_rows
from thumbstream_models.evaluate.paper_claims import claim_rows
from thumbstream_models.evaluate.results import Results
from thumbstream_models.evaluate.tables import (
    CHARGED,
    OTHER_MEASURES,
    bjontegaard_rows,
    describe_grid,
    describe_pictures,
    entropy_saving,
    main_codecs,
    markdown,
    model_ids,
    quality_rows,
    saving_rows,
)

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADLINE = "photographs"
"""The result that README.md and docs/benchmark.md show."""
PAPER_GRID = "photographs-squash-32"
"""The result that the claims of the paper are checked on in docs/benchmark.md."""
SUMMARY_BYTES = (16, 32, 64, 128, 256)
_UNFIT = "In parentheses: pictures that cannot be coded in the budget, scored as their mean color"


def sections(results: Mapping[str, Results]) -> dict[str, str]:
    """By path from the root of the repository: the generated section of each page."""
    return {
        "README.md": summary(results, "models/results"),
        "docs/benchmark.md": overview(results),
        "models/results/README.md": details(results),
    }


def write(page: Path, section: str) -> None:
    """Replace the generated section of ``page``; raises `ValueError` if it has none."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} needs one {BEGIN} and one {END}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{section}{END}{after}", encoding="utf-8")


def generated(text: str) -> str:
    """The generated section of a page's ``text``."""
    return text.split(f"{BEGIN}\n")[1].split(END)[0]


def summary(results: Mapping[str, Results], images: str) -> str:
    """Plot and table of `HEADLINE`; ``images`` is the path to the folder of the plots."""
    if not results:
        return ""
    name = HEADLINE if HEADLINE in results else next(iter(results))
    result = results[name]
    budgets = [budget for budget in SUMMARY_BYTES if budget in result["budgets"]]
    return _joined(
        [
            f"![SSIM against bytes]({images}/{name}.svg)",
            f"Mean SSIM / PSNR in dB. {describe_pictures(result)}. {CHARGED['headline']} "
            f"{_UNFIT}. Best classical: for each picture the best of the formats below that have "
            "a quality setting.",
            markdown(quality_rows(result, main_codecs(result), budgets)),
        ]
    )


def overview(results: Mapping[str, Results]) -> str:
    """The section of docs/benchmark.md: `summary`, and the claims of the paper on `PAPER_GRID`."""
    section = summary(results, "../models/results")
    paper = results.get(PAPER_GRID)
    if paper is None:
        return section
    return section + _joined(
        [
            "### Claims of the paper",
            f"The systems of the paper, payload against payload. {describe_grid(paper)}.",
            markdown(claim_rows(paper), numbers=False),
        ]
    ).removeprefix("\n")


def details(results: Mapping[str, Results]) -> str:
    """The section of models/results/README.md: the headline first, the others by name."""
    results = dict(sorted(results.items(), key=lambda item: (item[0] != HEADLINE, item[0])))
    parts: list[str] = []
    if len(results) > 1:
        parts.append("\n".join(f"- [{name}](#{name})" for name in results))
    for name, result in results.items():
        parts += _result(name, result)
    paper = {name: result for name, result in results.items() if _is_on_paper_grid(result)}
    if paper:
        parts += [
            "## The systems of the paper",
            "All models on the grid of arXiv 1511.06085, the entire picture squashed to 32 x 32. "
            f"{CHARGED['payload']} Mean SSIM / PSNR in dB at each budget.",
        ]
        for name, result in paper.items():
            parts += [f"### Models on {name}", f"{describe_grid(result)}."]
            parts += [*_models(name, result), "Claims of the paper on these pictures:"]
            parts.append(markdown(claim_rows(result), numbers=False))
    return _joined(parts + _payloads(results))


def _result(name: str, result: Results) -> list[str]:
    names, budgets = main_codecs(result), result["budgets"]
    parts = [f"## {name}", f"{describe_pictures(result)}. {_versions(result)}"]
    if names:
        parts += [
            f"![SSIM against bytes, {name}]({name}.svg)",
            f"Mean SSIM / PSNR in dB at each budget of bytes. {CHARGED['headline']} {_UNFIT}; "
            "`-`: none can be coded.",
            markdown(quality_rows(result, names, budgets)),
            *(
                text
                for title, measures in OTHER_MEASURES.items()
                for text in (
                    f"The same, {title} (0 is equal, less is better):",
                    markdown(quality_rows(result, names, budgets, measures=measures)),
                )
            ),
            f"Mean SSIM / PSNR in dB. {CHARGED['file']}",
            markdown(quality_rows(result, names, budgets, "file")),
        ]
    if len(rows := acceptance_rows(result)) > 1:
        parts += [
            f"Acceptance criteria of `{PRODUCT}`, all bytes counted, against the payload of the "
            "other codecs:",
            markdown(rows, numbers=False),
        ]
    if result.get("comparison"):
        parts += _comparison(result)
    if len(model_ids(result)) > 1 and not _is_on_paper_grid(result):
        parts += [f"All models. {CHARGED['payload']}", *_models(name, result)]
    return parts + entropy_saving(result)


def _comparison(result: Results) -> list[str]:
    title = result["codecs"][result["reference"]]["title"]
    others = [name for name in main_codecs(result) if name != result["reference"]]
    if not others:
        return []
    return [
        f"Bytes of {title}, header included, at the mean SSIM that the other codec reaches within "
        "the payload budget, divided by that budget (below 1: fewer bytes). 95 % confidence "
        "intervals in brackets; budgets that fewer than half of the pictures fit are omitted.",
        markdown(saving_rows(result, others)),
        "The same by PSNR:",
        markdown(saving_rows(result, others, "psnr")),
        f"Bjontegaard difference of the bytes of {title}, by each measure against the payload of "
        "the other codec, and by SSIM and PSNR against its file:",
        markdown(bjontegaard_rows(result, others)),
    ]


def _models(name: str, result: Results) -> list[str]:
    """Plot and tables of all models, compared by payload."""
    models, reference = model_ids(result), result.get("reference")
    parts = [
        f"![SSIM against bytes, models, {name}]({name}-models.svg)",
        markdown(quality_rows(result, models, result["budgets"], "payload")),
    ]
    others = [model for model in models if model != reference]
    if reference in models:
        parts += [
            f"Bytes of `{reference}` at equal mean SSIM, as a fraction of the other model's bytes, "
            "and the Bjontegaard difference of its bytes:",
            markdown(saving_rows(result, others)),
            markdown(bjontegaard_rows(result, others, ("payload",))),
        ]
    return parts


def _is_on_paper_grid(result: Results) -> bool:
    """Whether it has several models on the grid of the paper."""
    p = result["pictures"]
    return p["grid"] == "squash" and p["size"] == 32 and len(model_ids(result)) > 1


def _payloads(results: Mapping[str, Results]) -> list[str]:
    """What is searched and what counts as payload, once per codec; models share one entry."""
    texts: dict[str, str] = {}
    for result in results.values():
        for codec in result["codecs"].values():
            title = "models" if codec["kind"] == "model" else codec["title"]
            texts.setdefault(title, codec["counted"])
    if not texts:
        return []
    lines = "\n".join(f"- {title}: {counted}" for title, counted in texts.items())
    return ["## Settings searched, and payload", lines]


def _versions(result: Results) -> str:
    versions = result["environment"]["versions"]
    names = [name for name in versions if "/" not in name and name != "providers"]
    return ", ".join(f"{name} {versions[name]}" for name in names) + "."


def _joined(parts: Sequence[str]) -> str:
    return "".join(f"\n{part}\n" for part in parts) + "\n" if parts else ""
