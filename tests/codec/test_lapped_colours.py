"""Colour axes: their matrices, the encoder's choice, and the five decisions in streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from codec_folders import ZOO
from codec_lapped import PARAMS, arrays, axes, lapped_folder, linear_tables, look_tables
from codec_pictures import cut_out, photo_like

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped.colours import ColourAxes, rotate
from thumbstream.codec.lapped.linear import LinearTransform
from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.lapped.params import AXES, LookTables
from thumbstream.codec.lapped.symbols import SymbolDecoder
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.tensors import Grid, cell_grid, normalize
from thumbstream.errors import ArtifactError

GREY = np.full(3, 1 / np.sqrt(3))
PUBLISHED = open_artifact(ZOO / "thumbstream-2")
TABLES = {"small": axes(), "published": PUBLISHED.arrays("look.npz")["axes"].astype(np.int8)}


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> LinearCodec:
    return LinearCodec(open_artifact(lapped_folder(tmp_path_factory.mktemp("zoo"))))


@pytest.fixture(scope="module")
def published() -> LinearCodec:
    return LinearCodec(PUBLISHED)


@pytest.mark.parametrize("name", TABLES)
def test_matrices_rotate_their_axis_to_grey(name: str) -> None:
    table = TABLES[name].astype(float)
    rotations = ColourAxes(TABLES[name]).rotations
    assert rotations.shape == (AXES, 3, 3)
    np.testing.assert_array_equal(rotations[0], np.eye(3))
    for axis, rotation in zip(table, rotations, strict=True):
        unit = axis / np.linalg.norm(axis)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(rotation @ unit, GREY, atol=1e-12)
        assert np.linalg.det(rotation) > 0
        # The shortest one: what is perpendicular to both does not move.
        normal = np.cross(unit, GREY)
        np.testing.assert_allclose(rotation @ normal, normal, atol=1e-12)


def test_a_matrix_of_the_specification() -> None:
    """The formula of docs/bitstream.md for red: k = (0, -1, 1) / sqrt(3), c = 1 / sqrt(3)."""
    rotation = ColourAxes(np.array([[1, 1, 1], [100, 0, 0]], np.int8)).rotations[1]
    c, part = 1 / np.sqrt(3), (1 - 1 / np.sqrt(3)) / 2
    expected = [[c, -c, -c], [c, 1 - part, -part], [c, -part, 1 - part]]
    np.testing.assert_allclose(rotation, expected, atol=1e-12)


def test_rotation_of_several_pictures() -> None:
    rotations = ColourAxes(axes()).rotations[[3, 0]]
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    rotated = rotate(rotations, x)
    assert rotated.dtype == np.float32
    np.testing.assert_allclose(rotated[0, :, 2, 3], rotations[0] @ x[0, :, 2, 3], rtol=1e-5)
    np.testing.assert_array_equal(rotated[1], x[1])


def test_latents_of_rotated_colours_are_sums_of_terms() -> None:
    transform, rotations = LinearTransform(linear_tables()), ColourAxes(axes()).rotations[[7]]
    x = np.random.default_rng(0).normal(size=(1, 3, 16, 24))
    terms = transform.colour_latents(transform.samples(x))
    assert terms.shape == (3, 3, PARAMS.channels, 2, 3)
    expected = transform.latents(transform.samples(rotate(rotations, x)))
    np.testing.assert_allclose(np.einsum("ij,jichw->chw", rotations[0], terms), expected[0])


def chosen_by_definition(codec: LinearCodec, x: np.ndarray) -> int:
    """From the transform of each rotated picture."""
    units = codec._axes._units
    steps = [np.diff(x, axis=1).reshape(3, -1), np.diff(x, axis=2).reshape(3, -1)]
    moments = sum(d @ d.T for d in steps)
    energy = [unit @ moments @ unit for unit in units]
    candidates = [0, *sorted(range(1, AXES), key=lambda k: -energy[k])[:4]]
    transform, costs = codec._linear, []
    for k in candidates:
        rotated = rotate(codec._axes.rotations[[k]], x[None])
        latents = codec._scaled(transform.latents(transform.samples(rotated)))
        costs.append(np.log2(1 + 2 * np.abs(latents)).sum())
    return candidates[int(np.argmin(costs))]


@pytest.mark.parametrize("seed", range(12))
def test_the_choice_is_that_of_the_definition(
    linear: LinearCodec, published: LinearCodec, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 50, 2))
    pixels = photo_like(seed, height, width)
    mixed = (pixels @ rng.dirichlet(np.ones(3), 3)).astype(np.uint8)  # less saturated
    x = normalize(mixed[None], cell_grid(height, width, 8), 8).astype(np.float64)
    for codec in (linear, published):
        axis, layers = codec._rotate(x)
        assert axis == chosen_by_definition(codec, x[0])
        rotated = rotate(codec._axes.rotations[[axis]], x)
        np.testing.assert_allclose(layers.samples, codec._linear.samples(rotated), atol=1e-12)


def test_a_grey_picture_is_not_rotated(published: LinearCodec) -> None:
    grey = np.repeat(photo_like(1, 24, 32)[..., :1], 3, axis=2)
    assert published.inspect(published.encode(grey))["axis"] == 0


@pytest.mark.parametrize("axis", [5, 12, 20, 31])
def test_colours_on_a_line_get_their_axis(published: LinearCodec, axis: int) -> None:
    amounts = photo_like(2, 32, 32)[..., :1] / 255 - 0.5
    pixels = np.rint(128 + 150 * amounts * published._axes._units[axis]).astype(np.uint8)
    stream = published.encode(pixels)
    assert published.inspect(stream)["axis"] == axis
    error = published.decode(stream).astype(float) - pixels
    assert np.square(error).mean() < 30


def test_alpha_is_not_rotated(published: LinearCodec) -> None:
    pixels = cut_out(3, 32, 32)
    stream = published.encode(pixels)
    assert published.inspect(stream)["axis"] > 0
    decoded = published.decode(stream)
    assert np.abs(decoded[..., 3].astype(int) - pixels[..., 3]).mean() < 6


def test_a_decoder_rotates_back(linear: LinearCodec) -> None:
    """The linear picture of an axis is that of axis 0, times the transpose of the matrix."""
    axis, grid = 9, Grid(3, 4)
    stream = linear.encode(photo_like(4, 24, 32), effort=Effort.FAST)
    decoded = linear._symbol_decoder(parse_header(stream), stream).decode_all()
    plain, turned = (
        linear._synthesize([one], grid)[0, 0]
        for one in (replace(decoded, axis=0), replace(decoded, axis=axis))
    )
    expected = np.einsum("ji,jyx->iyx", linear._axes.rotations[axis], plain)
    np.testing.assert_allclose(turned, expected, atol=1e-5)


@pytest.mark.parametrize("alpha", [False, True])
def test_the_first_byte_determines_the_axis(linear: LinearCodec, alpha: bool) -> None:
    """Five decisions of probability 1/2, the highest bit first: true is the lower half."""
    header = write_header(8, 16, 8, alpha=alpha)
    assert linear.inspect(header)["axis"] == 0
    for first in range(256):
        facts = linear.inspect(header + bytes([first]))
        assert facts["axis"] == 31 - first // 8


def test_without_an_axis_there_are_no_symbols(linear: LinearCodec) -> None:
    model, grid = linear._model, Grid(2, 1)
    found = SymbolDecoder(b"", model, 1, grid).decode_all()
    assert (found.axis, found.symbols, found.planes) == (0, 0, 0)
    decoder = SymbolDecoder(b"\x07" + bytes(40), model, 1, grid)
    axes_of = [one.axis for one in decoder.prefixes([0, 0, 1, 2, 40])]
    assert axes_of == [0, 0, 31, 31, 31]
    assert next(decoder.prefixes([0])).symbols == 0


@pytest.mark.parametrize(
    ("axis", "vector"),
    [(0, (1, 1, 2)), (0, (-1, -1, -1)), (4, (0, 0, 0)), (31, (-90, -90, -90))],
)
def test_rejects_axes_without_a_rotation(axis: int, vector: tuple[int, int, int]) -> None:
    table = axes()
    table[axis] = vector
    with pytest.raises(ArtifactError, match="colour axis"):
        LookTables.from_arrays({**arrays(look_tables()), "axes": table}, PARAMS)


def test_rejects_another_number_of_axes() -> None:
    with pytest.raises(ArtifactError, match="axes: expected shape"):
        LookTables.from_arrays({**arrays(look_tables()), "axes": axes()[:16]}, PARAMS)
