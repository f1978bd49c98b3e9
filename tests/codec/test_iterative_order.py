"""The order of the codes, as in docs/bitstream.md."""

from __future__ import annotations

import numpy as np
import pytest
from reference_codec import half_planes as reference_half_planes

from thumbstream.codec.iterative.codes import coding_rank
from thumbstream.codec.iterative.context import HALVES_PER_PLANE, half_planes
from thumbstream.codec.tensors import Grid, cell_grid

GRIDS = [Grid(1, 1), Grid(1, 5), Grid(5, 1), Grid(2, 2), Grid(4, 4), Grid(3, 7), Grid(32, 32)]


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (32, 32, Grid(4, 4)),
        (1, 8, Grid(1, 1)),
        (8, 1, Grid(1, 1)),
        (9, 8, Grid(2, 1)),
        (24, 40, Grid(3, 5)),
        (3, 256, Grid(1, 32)),
        (255, 249, Grid(32, 32)),
    ],
)
def test_cells_cover_the_picture(height: int, width: int, grid: Grid) -> None:
    assert cell_grid(height, width, 8) == grid
    assert grid.cells == grid.rows * grid.columns


def test_every_shape_is_covered_without_empty_cells() -> None:
    for side in range(1, 257):
        rows = cell_grid(side, 1, 8).rows
        assert 8 * (rows - 1) < side <= 8 * rows


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_half_planes_are_a_checkerboard_in_raster_order(grid: Grid) -> None:
    halves = half_planes(grid)
    assert len(halves) == HALVES_PER_PLANE
    for half, cells in enumerate(halves):
        expected = [
            row * grid.columns + column
            for row in range(grid.rows)
            for column in range(grid.columns)
            if (row + column) % 2 == half
        ]
        assert cells.tolist() == expected


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("planes", [1, 3])
def test_rank_is_the_position_in_the_stream(grid: Grid, planes: int) -> None:
    rank = coding_rank(grid, planes)
    assert rank.shape == (planes, grid.rows, grid.columns)
    order = [
        place
        for half in reference_half_planes((1, planes, grid.rows, grid.columns))
        for place in half
    ]
    assert [int(rank[plane, row, column]) for _, plane, row, column in order] == list(
        range(planes * grid.cells)
    )


def test_order_of_a_4x4_grid() -> None:
    expected = [[0, 8, 1, 9], [10, 2, 11, 3], [4, 12, 5, 13], [14, 6, 15, 7]]
    np.testing.assert_array_equal(coding_rank(Grid(4, 4), 2), [expected, np.array(expected) + 16])
