from __future__ import annotations

import dataclasses
import io
import json
import math
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.bitstream import parse_header
from thumbstream.models import installed_models
from thumbstream_models.evaluate import (
    acceptance,
    benchmark_suite,
    command,
    contact_sheet,
    measure,
    pages,
    pictures,
    plots,
    results,
    streams,
    tables,
)
from thumbstream_models.evaluate.baselines import BASELINES, CLASSICAL, Codec, Coding
from thumbstream_models.evaluate.metrics import METRICS
from thumbstream_models.evaluate.score_cache import ScoreCache, key_of

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = (8, 16, 32, 64, 128)
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Toy:
    """Error that falls as bytes grow; ``thrift`` times the bytes of another Toy are as good."""

    name: str
    thrift: float = 1.0
    least: int = 1
    progressive: bool = False
    title: str = "Toy"
    kind: str = "baseline"
    counted: str = "Everything."

    def versions(self) -> Mapping[str, str]:
        return {"toy": "1"}

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


def pictures_of(pixels: list[NDArray[np.uint8]]) -> pictures.Pictures:
    return pictures.Pictures([str(i) for i in range(len(pixels))], pixels, "0" * 64, 32, "squash")


def summary(codecs: Sequence[Codec], count: int = 6, grid: str = "crop") -> results.Results:
    """The first codec is the reference."""
    pixels = some_pictures(count)
    scores = measure.measure(pixels, codecs, BUDGETS, quiet=True)
    loaded = dataclasses.replace(pictures_of(pixels), grid=grid)
    environment = {"versions": {"pillow": "13"}}
    return results.summary(loaded, ["toys"], codecs, BUDGETS, scores, environment, codecs[0].name)


def evaluate(*words: object) -> int:
    parser = __import__("argparse").ArgumentParser()
    command.add_arguments(parser)
    return command.main(parser.parse_args(list(map(str, words))))


# Pictures


def test_grids() -> None:
    left_half_black = np.zeros((60, 120, 3), np.uint8)
    left_half_black[:, 60:] = 255
    image = Image.fromarray(left_half_black)
    for grid, shape in (("crop", (16, 16)), ("squash", (16, 16)), ("aspect", (8, 16))):
        reduced = pictures.reduce(image, 16, grid)
        assert reduced is not None
        assert reduced.shape == (*shape, 3)
    # The central crop and the squashed picture both change in the middle.
    for grid in ("crop", "squash"):
        reduced = pictures.reduce(image, 16, grid)
        assert reduced is not None
        row = reduced[8, :, 0]
        assert row[2] == 0
        assert row[13] == 255
    with pytest.raises(ValueError, match="unknown grid"):
        pictures.reduce(image, 16, "oval")


@pytest.mark.parametrize(("grid", "largest"), [("crop", 60), ("squash", 60), ("aspect", 120)])
def test_pictures_are_never_enlarged(grid: str, largest: int) -> None:
    image = Image.new("RGB", (120, 60))
    assert pictures.reduce(image, largest, grid) is not None
    assert pictures.reduce(image, largest + 1, grid) is None


def test_too_small_pictures_are_counted(tmp_path: Path) -> None:
    for i, side in enumerate((8, 40, 16)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{i}.png")
    loaded = pictures.load([tmp_path], 16, "squash", quiet=True)
    assert (loaded.names, loaded.too_small) == (["1.png", "2.png"], 1)
    with pytest.raises(ValueError, match="no pictures of 64 pixels"):
        pictures.load([tmp_path], 64, "squash", quiet=True)


def test_folders_tars_and_arrays_give_the_same_pictures(tmp_path: Path) -> None:
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
        loaded = pictures.load([source], 32, "crop", quiet=True)
        assert len(loaded.names) == 3
        for pixels, expected in zip(loaded.pixels, made, strict=True):
            np.testing.assert_array_equal(pixels, expected)
    assert (
        pictures.load([folder], 32, "crop", quiet=True).sha256
        == pictures.load([tmp_path / "shard.tar"], 32, "crop", quiet=True).sha256
    )


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        pictures.load([tmp_path], 32, "crop", quiet=True)


# Scores


def test_best_fitting_coding_is_scored_and_unfit_is_mean_color() -> None:
    pixels = some_pictures(1)[0]
    charged = measure.score(Toy("toy", least=20), pixels, BUDGETS)
    scores = charged["payload"]
    assert scores.fits.tolist() == [False, False, True, True, True]
    assert scores.payload.tolist() == [0, 0, 32, 64, 128]
    assert scores.file.tolist() == [0, 0, 42, 74, 138]
    plain = measure.mean_color(pixels)
    assert np.ptp(plain.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]
    for name, metric in METRICS.items():
        assert scores.quality[name][0] == metric.score(pixels[None], plain[None])[0]
        better = np.diff(scores.quality[name][2:]) * (-1 if metric.less_is_better else 1)
        assert np.all(better > 0)
    # A file is ten bytes longer, so each budget has the next smaller coding.
    assert charged["file"].payload.tolist() == [0, 0, 0, 32, 64]
    np.testing.assert_array_equal(charged["file"].quality["ssim"][3:], scores.quality["ssim"][2:4])


class Worsening(Toy):
    """More bytes, worse picture."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        yield Coding(10, 10, pixels)
        yield Coding(20, 20, 255 - pixels)


@pytest.mark.parametrize(("progressive", "chosen"), [(False, 10), (True, 20)])
def test_progressive_codec_uses_the_full_budget(progressive: bool, chosen: int) -> None:
    codec = Worsening("worse", progressive=progressive)
    scores = measure.score(codec, some_pictures(1)[0], [15, 30])["payload"]
    assert scores.payload.tolist() == [10, chosen]


def test_several_processes_give_the_same_scores() -> None:
    made, codecs = some_pictures(3), [BASELINES["thumbhash"], BASELINES["webp"]]
    alone = measure.measure(made, codecs, BUDGETS, jobs=1, quiet=True)
    shared = measure.measure(made, codecs, BUDGETS, jobs=2, quiet=True)
    for name, charged in alone.items():
        for charge, scores in charged.items():
            other = shared[name][charge]
            assert scores.quality["ssim"].shape == (3, len(BUDGETS))
            np.testing.assert_array_equal(scores.payload, other.payload)
            for measured, values in scores.quality.items():
                np.testing.assert_array_equal(values, other.quality[measured])


def test_best_codec_is_selected_per_picture_and_budget() -> None:
    made = some_pictures(3)
    early, late = Toy("early", thrift=2), Toy("late", least=50)
    scores = measure.measure(made, [early, late], BUDGETS, quiet=True)
    best = measure.best_of([scores["early"], scores["late"]])["payload"]
    for name in METRICS:
        both = [scores[codec]["payload"].quality[name] for codec in ("early", "late")]
        np.testing.assert_array_equal(best.quality[name][:, :3], both[0][:, :3])
        np.testing.assert_array_equal(best.quality[name][:, 3:], both[1][:, 3:])
    assert best.fits.all()


# What was measured before


@dataclass(frozen=True)
class Counting(Toy):
    """Writes its calls to a file."""

    log: str = ""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        with open(self.log, "a") as file:
            file.write(f"{self.name}\n")
        yield from super().codings(pixels, budgets)


def test_stopped_run_resumes_from_the_cache(tmp_path: Path) -> None:
    log, cache = tmp_path / "log", ScoreCache(tmp_path / "cache")
    made = some_pictures(3)
    old, new = Counting("old", log=str(log)), Counting("new", thrift=2, log=str(log))

    def measured(codecs: list[Codec], count: int) -> tuple[dict[str, measure.Charged], list[str]]:
        log.write_text("")
        scores = measure.measure(made[:count], codecs, BUDGETS, quiet=True, cache=cache)
        return scores, log.read_text().split()

    assert measured([old], 2)[1] == ["old", "old"]
    first, calls = measured([old, new], 3)
    assert sorted(calls) == ["new", "new", "new", "old"]
    again, calls = measured([old, new], 3)
    assert calls == []
    for name in ("old", "new"):
        for charge in measure.CHARGES:
            one, other = first[name][charge], again[name][charge]
            assert one.fits.dtype == other.fits.dtype
            np.testing.assert_array_equal(one.file, other.file)
            for metric in METRICS:
                np.testing.assert_array_equal(one.quality[metric], other.quality[metric])


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"cut", b"{}"])
def test_damaged_cache_entries_are_measured_again(tmp_path: Path, damage: bytes) -> None:
    cache, pixels = ScoreCache(tmp_path), some_pictures(1)[0]
    cache.put("key", pixels, {"a": [0.1]})
    assert cache.get("key", pixels) == {"a": [0.1]}
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = entry.read_bytes()
    entry.write_bytes(damage if damage != b"cut" else content[:-1])
    assert cache.get("key", pixels) is None
    cache.put("key", pixels, {"a": [0.1]})
    assert entry.read_bytes() == content
    assert cache.get("other", pixels) is None
    assert cache.get("key", pixels[:16]) is None


def test_cache_keys_depend_on_everything_that_determines_scores() -> None:
    class Newer(Toy):
        def versions(self) -> Mapping[str, str]:
            return {"toy": "2"}

    keys = {
        key_of(Toy("toy"), BUDGETS, __file__),
        key_of(Toy("other"), BUDGETS, __file__),
        key_of(Newer("toy"), BUDGETS, __file__),
        key_of(Toy("toy"), BUDGETS[1:], __file__),
        key_of(Toy("toy"), BUDGETS, measure.__file__),
        key_of(streams.Thumbstream(), BUDGETS, __file__),
    }
    assert len(keys) == 6
    assert key_of(Toy("toy"), BUDGETS, __file__) in keys


# Results


def test_recovers_known_savings() -> None:
    ours = Toy("ours", thrift=0.7, progressive=True)
    compared = summary([ours, Toy("other")])["comparison"]["other"]["payload"]
    assert set(compared["bjontegaard_rate"]) == set(METRICS)
    for name in ("ssim", "psnr"):
        assert compared["bjontegaard_rate"][name] == pytest.approx(-0.3, abs=0.03)
    assert all(rate < -0.15 for rate in compared["bjontegaard_rate"].values())
    assert [point["bytes"] for point in compared["equal_ssim"]] == [32, 64, 128]
    for point in compared["equal_ssim"]:
        assert point["ratio"] == pytest.approx(0.7, abs=0.04)
        assert point["reference_bytes"] == pytest.approx(point["ratio"] * point["bytes"], abs=0.1)
        assert point["ratio_95"][0] <= point["ratio"] <= point["ratio_95"][1]


def test_unreachable_quality_has_no_ratio() -> None:
    worse = Toy("ours", thrift=4, progressive=True)
    against = summary([worse, Toy("other")])["comparison"]["other"]["payload"]
    assert against["equal_ssim"][-1]["reference_bytes"] is None
    better = Toy("ours", thrift=0.01, progressive=True)
    against = summary([better, Toy("other")])["comparison"]["other"]["payload"]
    assert against["equal_ssim"][0]["at_most"]
    assert against["equal_ssim"][0]["reference_bytes"] == BUDGETS[0]


def test_budgets_that_nothing_fits_are_not_compared() -> None:
    compared = summary([Toy("ours"), Toy("other", least=60)])["comparison"]["other"]["payload"]
    assert [point["bytes"] for point in compared["equal_ssim"]] == [64, 128]


@pytest.mark.parametrize(
    ("ours", "theirs", "charged"),
    [
        ("model", "baseline", ("file", "payload")),
        ("model", "model", ("payload", "payload")),
        ("baseline", "model", ("payload", "file")),
        ("baseline", "baseline", ("payload", "payload")),
    ],
)
def test_header_of_a_model_counts_against_other_codecs(
    ours: str, theirs: str, charged: tuple[str, str]
) -> None:
    codecs = [Toy("a", 0.7, kind=ours), Toy("b", kind=theirs)]
    scores = measure.measure(some_pictures(6), codecs, BUDGETS, quiet=True)
    compared = summary(codecs)["comparison"]["b"]
    a, b = scores["a"], scores["b"]
    assert compared["payload"] == results.comparison(a[charged[0]], b[charged[1]], BUDGETS)
    assert compared["file"] == results.comparison(a["file"], b["file"], BUDGETS)


def test_best_classical_codec_has_a_row() -> None:
    result = summary([Toy("ours"), Toy("jpeg", title="J"), Toy("avif", least=20, title="A")])
    assert result["codecs"]["best"]["counted"].endswith("the best of J, A.")
    assert result["codecs"]["best"]["points"] == result["codecs"]["jpeg"]["points"]
    assert result["comparison"]["best"] == result["comparison"]["jpeg"]
    assert set(CLASSICAL) < set(BASELINES)
    assert "best" not in summary([Toy("ours"), Toy("jpeg")])["codecs"]


def test_entropy_saving_is_against_raw_bits() -> None:
    # A Toy with a payload of 32 has a file of 42 bytes: no budget of 64 is used completely.
    assert summary([Toy("ours", kind="model")])["entropy_saving"] == {}
    [bare] = summary([Bare("ours", kind="model", progressive=True)])["entropy_saving"].values()
    assert bare == {"64": pytest.approx(1 / 9, abs=1e-4), "128": pytest.approx(1 / 9, abs=1e-4)}


class Bare(Toy):
    """Without a header."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        for coding in super().codings(pixels, budgets):
            yield dataclasses.replace(coding, file=coding.payload)


def test_json_round_trips_and_is_finite() -> None:
    result = summary([Toy("ours", thrift=9, progressive=True), Toy("other", least=20)])
    text = results.dumps(result)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == result


def test_rejects_results_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(results.dumps(both()))
    assert results.load(path) == both()
    path.write_text('{"format": 1}')
    with pytest.raises(ValueError, match="measure again"):
        results.load(path)


# Pages


@cache
def both(grid: str = "crop") -> results.Results:
    """A reference, another model, and a baseline that does not fit the smallest budgets."""
    return summary(
        [
            Toy("ours", 0.7, 1, True, "thumbstream", "model"),
            Toy("theirs", 0.8, 1, True, "another", "model"),
            Toy("other", least=20),
        ],
        grid=grid,
    )


def test_tables_show_what_was_measured() -> None:
    result = both()
    assert tables.main_codecs(result) == ["ours", "other"]
    rows = tables.quality_rows(result, tables.main_codecs(result), [16, 64])
    assert rows[0] == ["codec", "16 B", "64 B"]
    point = result["codecs"]["other"]["points"]["payload"][3]
    assert rows[2] == ["Toy", "-", f"{point['ssim']:.3f}"[1:] + f" / {point['psnr']:.1f}"]
    for text in (tables.plain(result), pages.details({"toys": result})):
        assert rows[2][2] in text


@pytest.mark.parametrize(
    ("view", "ours", "other"),
    [
        ("headline", "file", "payload"),
        ("payload", "payload", "payload"),
        ("file", "file", "file"),
    ],
)
def test_tables_count_the_bytes_of_their_view(view: str, ours: str, other: str) -> None:
    result = both()
    rows = tables.quality_rows(result, ["ours", "other"], [128], view, ("flip", "psnr_hvs_m"))
    for row, name, charge in ((rows[1], "ours", ours), (rows[2], "other", other)):
        point = result["codecs"][name]["points"][charge][-1]
        assert row[1] == f"{point['flip']:.3f}"[1:] + f" / {point['psnr_hvs_m']:.1f}"


def test_systems_of_the_paper_have_a_section_on_their_grid() -> None:
    title = "## The systems of the paper"
    assert title not in pages.details({"toys": both("crop")})
    detail = pages.details({"toys": both("squash")})
    section = detail.split(title)[1]
    assert (
        tables.markdown(tables.quality_rows(both("squash"), ["ours", "theirs"], BUDGETS, "payload"))
        in section
    )
    assert "toys-models.svg" in section


def test_plots_show_every_codec_that_has_points() -> None:
    main, models = (plots.plots(both())[suffix] for suffix in ("", "-models"))
    assert [(curve.title, len(curve.points)) for curve in main.curves] == [
        ("thumbstream", 3),
        ("Toy", 3),
    ]
    assert main.curves[0].role == "reference"
    assert [curve.title for curve in models.curves] == ["ours", "theirs"]


def test_plots_are_deterministic_svg_with_text() -> None:
    plot, again = (plots.plots(both())[""] for _ in range(2))
    assert plot.svg() == again.svg()
    assert plot.digest in plot.svg()
    texts = [text.text for text in ElementTree.fromstring(plot.svg()).iter(f"{SVG}text")]
    assert {"thumbstream", "Toy", "bytes", "SSIM"} <= set(texts)
    assert texts.count("Toy") == 1


def test_pages_are_written_between_the_markers(tmp_path: Path) -> None:
    stored = tmp_path / "toys.json"
    stored.write_text(results.dumps(both()))
    loaded = {"toys": results.load(stored)}
    sections = pages.sections(loaded)
    for page in sections:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    assert evaluate("--pages", stored, "--root", tmp_path) == 0
    for page, section in sections.items():
        text = (tmp_path / page).read_text()
        assert pages.generated(text) == section
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
    for suffix, plot in plots.plots(loaded["toys"]).items():
        assert (tmp_path / f"toys{suffix}.svg").read_text() == plot.svg()


def test_rejects_a_page_without_markers(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(ValueError, match="results:begin"):
        pages.write(tmp_path / "page.md", "x")


def test_pages_agree_with_the_results() -> None:
    folder = ROOT / "models" / "results"
    loaded = {path.stem: results.load(path) for path in sorted(folder.glob("*.json"))}
    for page, section in pages.sections(loaded).items():
        assert pages.generated((ROOT / page).read_text(encoding="utf-8")) == section
    expected = {
        f"{name}{suffix}.svg": plot.digest
        for name, result in loaded.items()
        for suffix, plot in plots.plots(result).items()
    }
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}
    assert found.keys() == expected.keys()
    assert [name for name, digest in expected.items() if digest not in found[name]] == []


# The command


def test_command_measures_real_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "set.npz", images=np.stack(some_pictures(3)))
    out = tmp_path / "deep" / "out.json"
    options = ["--codecs", "thumbstream,webp", "--jobs", 1, "--budgets", "16,64,128", "--quiet"]
    options += ["--cache", tmp_path / "cache"]
    assert evaluate(tmp_path / "set.npz", "--out", out, *options) == 0
    result = results.load(out)
    assert result["budgets"] == [16, 64, 128]
    ours = result["reference"]
    assert f"{ours}/synthesis.onnx" in result["environment"]["versions"]
    assert result["codecs"][ours]["title"] == "thumbstream"
    for charge, sizes in (("file", [16, 64, 128]), ("payload", [17, 65, 129])):
        points = result["codecs"][ours]["points"][charge]
        assert [point["unfit"] for point in points] == [0, 0, 0]
        assert [point["mean_file"] for point in points] == sizes
        assert points[0]["ssim"] < points[2]["ssim"]
    assert result["entropy_saving"] == {}, "its symbols are no binary codes"
    printed = f"{tables.plain(result)}\n\n{tables.aligned(acceptance.acceptance_rows(result))}"
    assert capsys.readouterr().out.strip() == printed.strip()
    # Nothing is measured again, and the result is the same.
    assert evaluate(tmp_path / "set.npz", "--out", tmp_path / "again.json", *options) == 0
    assert (tmp_path / "again.json").read_text() == out.read_text()


def test_prefixes_count_with_and_without_header() -> None:
    (pixels,) = some_pictures(1, 16)  # not the size that has the short header
    codec = streams.Thumbstream(device="cpu")
    codings = list(codec.codings(pixels, [8, 16]))
    assert [(coding.payload, coding.file) for coding in codings] == [
        (6, 8),
        (8, 10),
        (14, 16),
        (16, 18),
    ]
    stream = installed_models("cpu").load().encode(pixels)
    assert parse_header(stream).length == 2
    for coding in codings:
        decoded = installed_models("cpu").load().decode(stream[: coding.file])
        np.testing.assert_array_equal(coding.pixels, decoded)


def test_suite_writes_its_results(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.stack(some_pictures(3)))
    suite = tmp_path / "suite.toml"
    suite.write_text(
        """
        [[result]]
        name = "small"
        sources = ["set.npz"]
        size = 16
        codecs = ["thumbhash"]
        [[result]]
        name = "squashed"
        sources = ["set.npz"]
        grid = "squash"
        limit = 2
        codecs = ["thumbhash"]
        """
    )
    out = tmp_path / "out"
    options = ["--out", out, "--no-cache", "--jobs", 1, "--quiet"]
    assert evaluate(tmp_path, "--suite", suite, *options) == 0
    found = {path.stem: results.load(path)["pictures"] for path in out.iterdir()}
    shapes = {name: (p["size"], p["grid"], p["count"]) for name, p in found.items()}
    assert shapes == {"small": (16, "crop", 3), "squashed": (32, "squash", 2)}
    with pytest.raises(SystemExit, match="one folder"):
        evaluate(tmp_path, "--suite", suite)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "results"),
        ('[[result]]\nname = "a"', "sources"),
        ('[[result]]\nname = "a"\nsources = ["a"]\ncodex = 1', "codex"),
        ('[[result]]\nname = "a"\nsources = ["a"]\ngrid = "oval"', "oval"),
        ('[[result]]\nname = "a"\nsources = ["a"]\n' * 2, "different names"),
    ],
)
def test_rejects_invalid_suites(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        benchmark_suite.read(tmp_path / "suite.toml")


def test_published_results_are_in_the_suite() -> None:
    runs = benchmark_suite.read(ROOT / "models" / "benchmark.toml")
    stored = {path.stem for path in (ROOT / "models" / "results").glob("*.json")}
    assert stored <= {run.name for run in runs}
    assert pages.HEADLINE in {run.name for run in runs}


def test_codecs_are_selected_by_names_and_groups() -> None:
    def names(*words: str) -> list[str]:
        return [codec.name for codec in command.select_codecs(words, "cpu")]

    published = installed_models().installed
    assert names("baselines") == list(BASELINES)
    assert names("models") == list(published)
    assert names("webp", "thumbstream", published[0]) == ["webp", published[0]]
    assert (
        results.reference_of(command.select_codecs(["webp", "models"], "cpu"), None) == published[0]
    )
    assert results.reference_of(command.select_codecs(["webp"], "cpu"), None) is None


def test_command_rejects_invalid_options(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no pictures"):
        evaluate()
    with pytest.raises(SystemExit):
        evaluate(tmp_path, "--codecs", "jpeg,gif")
    with pytest.raises(SystemExit):
        evaluate(tmp_path, "--budgets", "0,3")
    with pytest.raises(SystemExit, match="the reference avif is not among"):
        evaluate(tmp_path, "--codecs", "jpeg", "--reference", "avif")


def test_limit_subsamples_evenly() -> None:
    loaded = pictures.Pictures(list("abcdefgh"), some_pictures(8, 8), "", 8, "squash")
    assert pictures.subsample(loaded, 3).names == ["a", "c", "f"]
    assert pictures.subsample(loaded, 99).names == loaded.names


def test_contact_sheet_has_a_cell_per_codec_and_budget() -> None:
    codecs = [BASELINES["thumbhash"], BASELINES["webp"]]
    sheet = np.asarray(contact_sheet.render(some_pictures(2), codecs))
    assert sheet.shape[1] > (1 + len(codecs)) * contact_sheet.CELL
    assert sheet.shape[0] > 2 * len(contact_sheet.BUDGETS) * contact_sheet.CELL
    original = np.asarray(
        Image.fromarray(some_pictures(1)[0]).resize((contact_sheet.CELL, contact_sheet.CELL), 3)
    )
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], original.shape[:2])
    assert (windows[:80, :120] == original[..., 0]).all(axis=(2, 3)).sum() == 1
