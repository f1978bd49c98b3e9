"""A page's bytes: never over, never worse than equal shares, within one step of the best."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.page_budget import Plan, Point, Shown, equal_limit, greedy, hull, plan

CLOSE = 1e-9
LONGEST = 16
few_examples = settings(max_examples=25, deadline=None)


@st.composite
def pictures(draw: st.DrawFn, rising: bool = False) -> Shown:
    """A picture of up to four measured prefixes; only ``rising`` promises quality with bytes."""
    lengths = draw(
        st.lists(st.integers(1, LONGEST), min_size=1, max_size=4, unique=True).map(sorted)
    )
    values = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
    qualities = draw(st.lists(values, min_size=len(lengths), max_size=len(lengths)))
    times = draw(st.integers(1, 3))
    return Shown(tuple(lengths), tuple(sorted(qualities) if rising else qualities), times)


def pages(rising: bool = False) -> st.SearchStrategy[list[Shown]]:
    return st.lists(pictures(rising), min_size=1, max_size=4)


def options(picture: Shown) -> list[Point]:
    return [Point(0, 0.0), *map(Point, picture.lengths, picture.qualities)]


def best_of_all(page: list[Shown], total: int) -> float:
    """The highest summed quality of any choice of measured prefixes: all of them are tried."""
    sums = [
        sum(p.times * point.quality for p, point in zip(page, choice, strict=True))
        for choice in product(*map(options, page))
        if sum(point.bytes for point in choice) <= total
    ]
    return max(sums)


def summed(page: list[Shown], points: tuple[Point, ...]) -> float:
    return sum(p.times * point.quality for p, point in zip(page, points, strict=True))


@given(page=pages(), total=st.integers(0, 4 * LONGEST + 1))
@settings(deadline=None)
def test_greedy_is_within_one_step_of_the_best(page: list[Shown], total: int) -> None:
    found = greedy(page, total)
    steps = [
        picture.times * worth * (point.bytes - before)
        for picture in page
        for before, (worth, point) in zip(
            [0, *(point.bytes for _, point in hull(picture))], hull(picture), strict=False
        )
    ]
    best = best_of_all(page, total)
    assert found.bytes <= total
    assert summed(page, found.points) <= best + CLOSE
    assert summed(page, found.points) > best - max([*steps, CLOSE])


@given(page=pages(), total=st.integers(0, 4 * LONGEST + 1))
@settings(deadline=None)
def test_a_plan_keeps_the_budget_and_is_no_worse_than_equal_shares(
    page: list[Shown], total: int
) -> None:
    made = plan(page, total)
    assert made.best.bytes <= total
    assert made.equal.bytes <= total
    assert made.best.mean >= made.equal.mean
    places = sum(picture.times for picture in page)
    assert made.best.mean == pytest.approx(summed(page, made.best.points) / places)


@given(page=pages(rising=True))
@few_examples
def test_more_bytes_are_never_worse(page: list[Shown]) -> None:
    plans = [plan(page, total) for total in range(4 * LONGEST + 2)]
    for fewer, more in pairwise(plans):
        assert more.best.mean >= fewer.best.mean - CLOSE
        assert more.bytes_each >= fewer.bytes_each


@given(page=pages())
@few_examples
def test_greedy_alone_needs_no_rising_curve_for_that(page: list[Shown]) -> None:
    means = [greedy(page, total).mean for total in range(4 * LONGEST + 2)]
    assert all(more >= fewer - CLOSE for fewer, more in pairwise(means))


@given(picture=pictures())
@settings(deadline=None)
def test_a_hull_lies_above_every_point_and_bends_down(picture: Shown) -> None:
    corners = hull(picture)
    worths = [worth for worth, _ in corners]
    assert worths == sorted(worths, reverse=True)
    assert len(set(worths)) == len(worths)
    outline = [Point(0, 0.0), *(point for _, point in corners)]
    assert set(outline) <= set(options(picture))
    for length, quality in options(picture):
        after = next((i for i, corner in enumerate(outline) if corner.bytes >= length), None)
        if after is None:  # behind the last corner nothing is better
            assert quality <= outline[-1].quality
            continue
        right, left = outline[after], outline[max(0, after - 1)]
        share = (length - left.bytes) / (right.bytes - left.bytes) if right != left else 0
        assert quality <= left.quality + share * (right.quality - left.quality) + CLOSE


def test_bytes_go_where_they_help_most() -> None:
    easy = Shown((4, 8, 16), (0.8, 0.9, 0.95))
    hard = Shown((4, 8, 16), (0.2, 0.5, 0.75))
    made = plan([easy, hard], 20)
    assert made.best.points == (Point(4, 0.8), Point(16, 0.75))
    assert made.bytes_each == 10
    assert made.equal.points == (Point(10, 0.9125), Point(10, 0.5625))
    assert made.best.mean - made.equal.mean == pytest.approx(0.0375)


def test_what_does_not_fit_is_left_out_and_the_search_goes_on() -> None:
    large, small = Shown((50,), (1.0,)), Shown((5,), (0.05,))
    assert greedy([large, small], 49).points == (Point(0, 0.0), Point(5, 0.05))
    assert greedy([large, small], 54).points == (Point(50, 1.0), Point(0, 0.0))
    assert greedy([large, small], 55).points == (Point(50, 1.0), Point(5, 0.05))


def test_a_picture_shown_twice_counts_twice_and_is_sent_once() -> None:
    once, twice = Shown((10, 20), (0.5, 0.8)), Shown((10, 20), (0.5, 0.7), times=2)
    made = plan([once, twice], 30)
    assert made.best.points == (Point(10, 0.5), Point(20, 0.7))
    assert made.best.bytes == 30
    assert made.best.mean == pytest.approx((0.5 + 2 * 0.7) / 3)


def test_equal_shares_win_where_steps_are_too_coarse() -> None:
    made = plan([Shown((10, 100), (0.2, 1.0))], 99)
    assert greedy([Shown((10, 100), (0.2, 1.0))], 99).points == (Point(10, 0.2),)
    assert made.best == made.equal
    assert made.best.points == (Point(99, pytest.approx(0.2 + 0.8 * 89 / 90)),)


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
def test_equal_limits(lengths: list[int], total: int, limit: int) -> None:
    assert equal_limit(lengths, total) == limit


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6), total=st.integers(0, 200))
@settings(deadline=None)
def test_an_equal_limit_is_the_highest_that_fits(lengths: list[int], total: int) -> None:
    limit = equal_limit(lengths, total)
    assert sum(min(limit, length) for length in lengths) <= total
    if limit < max(lengths):
        assert sum(min(limit + 1, length) for length in lengths) > total


def test_between_measured_prefixes_quality_is_on_a_line() -> None:
    picture = Shown((4, 8), (0.4, 0.6))
    assert [picture.at(n) for n in (0, 1, 4, 5, 8, 9)] == [
        Point(0, 0.0),
        Point(1, pytest.approx(0.1)),
        Point(4, 0.4),
        Point(5, pytest.approx(0.45)),
        Point(8, 0.6),
        Point(8, 0.6),
    ]


def test_a_page_of_nothing() -> None:
    made = plan([], 100)
    assert made == Plan(best=made.equal, equal=made.equal, bytes_each=0)
    assert (made.best.points, made.best.bytes, made.best.mean) == ((), 0, 0.0)
