from __future__ import annotations

import io
import json
import math
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from thumbstream_models import evaluate, measure, pages, pictures, plot, results, sheet
from thumbstream_models.baselines import BASELINES, Codec, Coding

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Toy:
    """Error that falls as bytes grow; ``thrift`` times the bytes of another Toy are as good."""

    name: str
    thrift: float = 1.0
    least: int = 1
    progressive: bool = False
    title: str = "Toy"
    counted: str = "Everything."

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        noise = np.random.default_rng(1).normal(size=pixels.shape)
        for n in budgets:
            if n >= self.least:
                error = 160 / math.sqrt(n / self.thrift) * noise
                yield Coding(n, n + 10, (pixels + error).clip(0, 255).astype(np.uint8), 8 * n + n)


def some_pictures(count: int, size: int = 32) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((size, size), 3)
        )
        for _ in range(count)
    ]


def summary(codecs: Sequence[Codec], count: int = 6) -> results.Results:
    pixels = some_pictures(count)
    scores = measure.measure(pixels, codecs, BUDGETS, quiet=True)
    taken = pictures.Pictures([str(i) for i in range(count)], pixels, "0" * 64)
    return results.summary(
        taken, [Path("toys")], 32, "crop", codecs, BUDGETS, scores, {"pillow": "13"}
    )


def command(*words: object) -> int:
    parser = __import__("argparse").ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.main(parser.parse_args(list(map(str, words))))


# Pictures


def test_grids() -> None:
    left_half_black = np.zeros((60, 120, 3), np.uint8)
    left_half_black[:, 60:] = 255
    image = Image.fromarray(left_half_black)
    assert pictures.reduce(image, 16, "crop").shape == (16, 16, 3)
    assert pictures.reduce(image, 16, "squash").shape == (16, 16, 3)
    assert pictures.reduce(image, 16, "aspect").shape == (8, 16, 3)
    # The crop's middle quarter of the picture and the squashed whole both change in the middle.
    for grid in ("crop", "squash"):
        row = pictures.reduce(image, 16, grid)[8, :, 0]
        assert row[2] == 0
        assert row[13] == 255
    with pytest.raises(ValueError, match="unknown grid"):
        pictures.reduce(image, 16, "oval")


def test_folders_tars_and_arrays_hold_the_same_pictures(tmp_path: Path) -> None:
    made = some_pictures(3)
    folder = tmp_path / "folder"
    folder.mkdir()
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for i, pixels in enumerate(made):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            (folder / f"{i}.png").write_bytes(buffer.getvalue())
            info = tarfile.TarInfo(f"{i}.png")
            info.size = len(buffer.getvalue())
            tar.addfile(info, io.BytesIO(buffer.getvalue()))
    np.savez(tmp_path / "array.npz", images=np.stack(made))
    for source in (folder, tmp_path / "shard.tar", tmp_path / "array.npz"):
        taken = pictures.load([source], 32, "crop", quiet=True)
        assert len(taken.names) == 3
        for pixels, expected in zip(taken.pixels, made, strict=True):
            np.testing.assert_array_equal(pixels, expected)
    assert (
        pictures.load([folder], 32, "crop", quiet=True).sha256
        == pictures.load([tmp_path / "shard.tar"], 32, "crop", quiet=True).sha256
    )


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        pictures.load([tmp_path], 32, "crop", quiet=True)


# Scores


def test_the_best_that_fits_counts_and_what_does_not_fit_is_plain() -> None:
    pixels = some_pictures(1)[0]
    scores = measure.score(Toy("toy", least=20), pixels, BUDGETS)
    assert scores.fits.tolist() == [False, False, True, True, True]
    assert scores.payload.tolist() == [0, 0, 32, 64, 128]
    assert scores.whole.tolist() == [0, 0, 42, 74, 138]
    plain = measure.mean_colour(pixels)
    assert np.ptp(plain.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]
    assert scores.psnr[0] == measure.metrics.psnr(pixels, plain)
    assert np.all(np.diff(scores.ssim[2:]) > 0)


class Worsening(Toy):
    """More bytes, worse picture."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        yield Coding(10, 10, pixels)
        yield Coding(20, 20, 255 - pixels)


@pytest.mark.parametrize(("progressive", "chosen"), [(False, 10), (True, 20)])
def test_a_progressive_codec_spends_the_whole_budget(progressive: bool, chosen: int) -> None:
    codec = Worsening("worse", progressive=progressive)
    assert measure.score(codec, some_pictures(1)[0], [15, 30]).payload.tolist() == [10, chosen]


def test_processes_measure_what_one_process_measures() -> None:
    made, codecs = some_pictures(3), [BASELINES["thumbhash"], BASELINES["webp"]]
    alone = measure.measure(made, codecs, BUDGETS, jobs=1, quiet=True)
    shared = measure.measure(made, codecs, BUDGETS, jobs=2, quiet=True)
    for name, scores in alone.items():
        assert scores.ssim.shape == (3, len(BUDGETS))
        np.testing.assert_array_equal(scores.ssim, shared[name].ssim)
        np.testing.assert_array_equal(scores.payload, shared[name].payload)


# Results


def test_savings_of_a_codec_of_known_thrift() -> None:
    ours = Toy(results.OURS, thrift=0.7, progressive=True)
    compared = summary([ours, Toy("other")])["comparison"]["other"]
    assert compared["bjontegaard_rate_ssim"] == pytest.approx(-0.3, abs=0.03)
    assert compared["bjontegaard_rate_psnr"] == pytest.approx(-0.3, abs=0.03)
    assert [point["bytes"] for point in compared["equal_ssim"]] == [32, 64, 128]
    for point in compared["equal_ssim"]:
        assert point["ratio"] == pytest.approx(0.7, abs=0.04)
        assert point["thumbstream_bytes"] == pytest.approx(point["ratio"] * point["bytes"], abs=0.1)
        assert point["ratio_95"][0] <= point["ratio"] <= point["ratio_95"][1]


def test_what_cannot_be_reached_is_told() -> None:
    worse = Toy(results.OURS, thrift=4, progressive=True)
    point = summary([worse, Toy("other")])["comparison"]["other"]["equal_ssim"][-1]
    assert point["thumbstream_bytes"] is None
    better = Toy(results.OURS, thrift=0.01, progressive=True)
    point = summary([better, Toy("other")])["comparison"]["other"]["equal_ssim"][0]
    assert point["at_most"]
    assert point["thumbstream_bytes"] == BUDGETS[0]


def test_budgets_that_nothing_fits_are_not_compared() -> None:
    ours = Toy(results.OURS, progressive=True)
    compared = summary([ours, Toy("other", least=60)])["comparison"]["other"]
    assert [point["bytes"] for point in compared["equal_ssim"]] == [64, 128]


def test_entropy_saving_is_against_raw_bits() -> None:
    saved = summary([Toy(results.OURS, progressive=True)])["entropy_saving"]
    assert saved == {"64": pytest.approx(1 / 9, abs=1e-4), "128": pytest.approx(1 / 9, abs=1e-4)}


def test_json_is_whole_and_finite() -> None:
    result = summary([Toy(results.OURS, thrift=9, progressive=True), Toy("other", least=20)])
    text = results.dumps(result)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == result


# Pages


def both() -> results.Results:
    return summary([Toy(results.OURS, 0.7, 1, True, "thumbstream"), Toy("other", least=20)])


def test_tables_show_what_was_measured() -> None:
    result = both()
    rows = pages.quality_rows(result, [16, 64])
    assert rows[0] == ["codec", "16 B", "64 B"]
    point = result["codecs"]["other"]["points"][3]
    assert rows[2] == ["Toy", "-", f"{point['ssim']:.3f}"[1:] + f" / {point['psnr']:.1f}"]
    for text in (pages.plain(result), pages.detail({"toys": result})):
        assert rows[2][2] in text


def test_the_plot_is_an_svg_for_light_and_dark() -> None:
    drawn = plot.svg(both())
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{space}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [5, 3]
    assert "prefers-color-scheme: dark" in drawn
    texts = [text.text for text in root.findall(f"{space}text")]
    assert {"thumbstream", "Toy", "bytes", "SSIM"} <= set(texts)


def test_publishing_fills_the_marked_sections(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/benchmark.md"):
        (tmp_path / page).write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    stored = tmp_path / "toys.json"
    stored.write_text(results.dumps(both()))
    assert command("--table", stored, "--root", tmp_path) == 0
    loaded = {"toys": json.loads(stored.read_text())}
    readme, page = ((tmp_path / name).read_text() for name in ("README.md", "docs/benchmark.md"))
    assert pages.marked(readme) == pages.digest(loaded)
    assert pages.marked(page) == pages.detail(loaded)
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")
    assert stored.with_suffix(".svg").read_text() == plot.svg(loaded["toys"])


def test_a_page_without_markers_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(ValueError, match="results:begin"):
        pages.write(tmp_path / "page.md", "x")


def test_the_projects_pages_agree_with_its_results() -> None:
    stored = sorted((ROOT / "models" / "results").glob("*.json"))
    loaded: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in stored}
    assert pages.marked((ROOT / "README.md").read_text()) == pages.digest(loaded)
    assert pages.marked((ROOT / "docs" / "benchmark.md").read_text()) == pages.detail(loaded)
    for path in stored:
        assert path.with_suffix(".svg").read_text() == plot.svg(loaded[path.stem])


# The command


def test_the_command_measures_real_streams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "set.npz", images=np.stack(some_pictures(3)))
    out = tmp_path / "deep" / "out.json"
    options = ["--codecs", "thumbstream,webp", "--jobs", 1, "--budgets", "16,64,128", "--quiet"]
    assert command(tmp_path / "set.npz", "--out", out, *options) == 0
    result = json.loads(out.read_text())
    assert result["budgets"] == [16, 64, 128]
    assert result["environment"]["model"]
    points = result["codecs"]["thumbstream"]["points"]
    assert [point["unfit"] for point in points] == [0, 0, 0]
    assert [point["mean_payload"] for point in points] == [16, 64, 128]
    assert points[0]["ssim"] < points[2]["ssim"]
    assert set(result["entropy_saving"]) == {"64", "128"}
    assert capsys.readouterr().out.strip() == pages.plain(result).strip()


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no pictures"):
        command()
    with pytest.raises(SystemExit):
        command(tmp_path, "--codecs", "jpeg,gif")
    with pytest.raises(SystemExit):
        command(tmp_path, "--budgets", "0,3")


def test_limit_spreads_over_all_pictures() -> None:
    taken = pictures.Pictures(list("abcdefgh"), some_pictures(8, 8), "")
    assert pictures.spread(taken, 3).names == ["a", "c", "f"]
    assert pictures.spread(taken, 99).names == taken.names


def test_the_sheet_has_a_cell_for_everything() -> None:
    drawn = sheet.draw(some_pictures(2), [BASELINES["thumbhash"], BASELINES["webp"]])
    cell = 32 * 3
    assert drawn.width > (1 + 4 * 2) * cell
    assert drawn.height > 2 * cell
