"""A page's bytes: within the budget, at least as good as a uniform limit, near the optimum."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.page_budget import (
    BudgetPlan,
    PageImage,
    Point,
    allocate,
    hull,
    plan_budget,
    uniform_limit,
)

CLOSE = 1e-9
LONGEST = 16
few_examples = settings(max_examples=25, deadline=None)


@st.composite
def images(draw: st.DrawFn, rising: bool = False) -> PageImage:
    """An image of up to four measured prefixes; with ``rising``, quality rises with bytes."""
    lengths = draw(
        st.lists(st.integers(1, LONGEST), min_size=1, max_size=4, unique=True).map(sorted)
    )
    values = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
    qualities = draw(st.lists(values, min_size=len(lengths), max_size=len(lengths)))
    uses = draw(st.integers(1, 3))
    return PageImage(tuple(lengths), tuple(sorted(qualities) if rising else qualities), uses)


def pages(rising: bool = False) -> st.SearchStrategy[list[PageImage]]:
    return st.lists(images(rising), min_size=1, max_size=4)


def options(image: PageImage) -> list[Point]:
    return [Point(0, 0.0), *map(Point, image.lengths, image.qualities)]


def best_of_all(page: list[PageImage], total: int) -> float:
    """The highest summed quality of any choice of measured prefixes: all of them are tried."""
    sums = [
        sum(p.uses * point.quality for p, point in zip(page, choice, strict=True))
        for choice in product(*map(options, page))
        if sum(point.bytes for point in choice) <= total
    ]
    return max(sums)


def summed(page: list[PageImage], points: tuple[Point, ...]) -> float:
    return sum(p.uses * point.quality for p, point in zip(page, points, strict=True))


@given(page=pages(), total=st.integers(0, 4 * LONGEST + 1))
@settings(deadline=None)
def test_allocation_is_within_one_step_of_the_optimum(page: list[PageImage], total: int) -> None:
    found = allocate(page, total)
    steps = [
        image.uses * gain * (point.bytes - before)
        for image in page
        for before, (gain, point) in zip(
            [0, *(point.bytes for _, point in hull(image))], hull(image), strict=False
        )
    ]
    best = best_of_all(page, total)
    assert found.bytes <= total
    assert summed(page, found.points) <= best + CLOSE
    assert summed(page, found.points) > best - max([*steps, CLOSE])


@given(page=pages(), total=st.integers(0, 4 * LONGEST + 1))
@settings(deadline=None)
def test_plan_is_within_the_budget_and_at_least_as_good_as_a_uniform_limit(
    page: list[PageImage], total: int
) -> None:
    plan = plan_budget(page, total)
    assert plan.best.bytes <= total
    assert plan.uniform.bytes <= total
    assert plan.best.mean >= plan.uniform.mean
    uses = sum(image.uses for image in page)
    assert plan.best.mean == pytest.approx(summed(page, plan.best.points) / uses)


@given(page=pages(rising=True))
@few_examples
def test_more_bytes_are_never_worse(page: list[PageImage]) -> None:
    plans = [plan_budget(page, total) for total in range(4 * LONGEST + 2)]
    for fewer, more in pairwise(plans):
        assert more.best.mean >= fewer.best.mean - CLOSE
        assert more.uniform_limit >= fewer.uniform_limit


@given(page=pages())
@few_examples
def test_allocation_never_falls_with_more_bytes_for_any_curve(page: list[PageImage]) -> None:
    means = [allocate(page, total).mean for total in range(4 * LONGEST + 2)]
    assert all(more >= fewer - CLOSE for fewer, more in pairwise(means))


@given(image=images())
@settings(deadline=None)
def test_hull_is_concave_and_above_every_point(image: PageImage) -> None:
    corners = hull(image)
    gains = [gain for gain, _ in corners]
    assert gains == sorted(gains, reverse=True)
    assert len(set(gains)) == len(gains)
    outline = [Point(0, 0.0), *(point for _, point in corners)]
    assert set(outline) <= set(options(image))
    for length, quality in options(image):
        after = next((i for i, corner in enumerate(outline) if corner.bytes >= length), None)
        if after is None:  # after the last corner nothing is better
            assert quality <= outline[-1].quality
            continue
        right, left = outline[after], outline[max(0, after - 1)]
        share = (length - left.bytes) / (right.bytes - left.bytes) if right != left else 0
        assert quality <= left.quality + share * (right.quality - left.quality) + CLOSE


def test_bytes_go_where_they_help_most() -> None:
    easy = PageImage((4, 8, 16), (0.8, 0.9, 0.95))
    hard = PageImage((4, 8, 16), (0.2, 0.5, 0.75))
    plan = plan_budget([easy, hard], 20)
    assert plan.best.points == (Point(4, 0.8), Point(16, 0.75))
    assert plan.uniform_limit == 10
    assert plan.uniform.points == (Point(10, 0.9125), Point(10, 0.5625))
    assert plan.best.mean - plan.uniform.mean == pytest.approx(0.0375)


def test_a_step_that_does_not_fit_stops_only_its_image() -> None:
    large, small = PageImage((50,), (1.0,)), PageImage((5,), (0.05,))
    assert allocate([large, small], 49).points == (Point(0, 0.0), Point(5, 0.05))
    assert allocate([large, small], 54).points == (Point(50, 1.0), Point(0, 0.0))
    assert allocate([large, small], 55).points == (Point(50, 1.0), Point(5, 0.05))


def test_an_image_used_twice_counts_twice_and_is_sent_once() -> None:
    once, twice = PageImage((10, 20), (0.5, 0.8)), PageImage((10, 20), (0.5, 0.7), uses=2)
    plan = plan_budget([once, twice], 30)
    assert plan.best.points == (Point(10, 0.5), Point(20, 0.7))
    assert plan.best.bytes == 30
    assert plan.best.mean == pytest.approx((0.5 + 2 * 0.7) / 3)


def test_uniform_limit_wins_if_steps_are_too_coarse() -> None:
    plan = plan_budget([PageImage((10, 100), (0.2, 1.0))], 99)
    assert allocate([PageImage((10, 100), (0.2, 1.0))], 99).points == (Point(10, 0.2),)
    assert plan.best == plan.uniform
    assert plan.best.points == (Point(99, pytest.approx(0.2 + 0.8 * 89 / 90)),)


@pytest.mark.parametrize(
    ("lengths", "total", "limit"),
    [
        ([10, 10], 7, 3),
        ([10, 10], 1, 0),
        ([4, 100], 54, 50),  # what the short one leaves, the long one gets
        ([100, 4], 54, 50),
        ([4, 100], 104, 100),
        ([4, 100], 10_000, 100),
        ([], 10, 0),
    ],
)
def test_uniform_limit(lengths: list[int], total: int, limit: int) -> None:
    assert uniform_limit(lengths, total) == limit


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6), total=st.integers(0, 200))
@settings(deadline=None)
def test_uniform_limit_is_the_highest_that_fits(lengths: list[int], total: int) -> None:
    limit = uniform_limit(lengths, total)
    assert sum(min(limit, length) for length in lengths) <= total
    if limit < max(lengths):
        assert sum(min(limit + 1, length) for length in lengths) > total


def test_quality_is_interpolated_between_measured_prefixes() -> None:
    image = PageImage((4, 8), (0.4, 0.6))
    assert [image.at(n) for n in (0, 1, 4, 5, 8, 9)] == [
        Point(0, 0.0),
        Point(1, pytest.approx(0.1)),
        Point(4, 0.4),
        Point(5, pytest.approx(0.45)),
        Point(8, 0.6),
        Point(8, 0.6),
    ]


def test_an_empty_page() -> None:
    plan = plan_budget([], 100)
    assert plan == BudgetPlan(best=plan.uniform, uniform=plan.uniform, uniform_limit=0)
    assert (plan.best.points, plan.best.bytes, plan.best.mean) == ((), 0, 0.0)
