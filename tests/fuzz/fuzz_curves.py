"""Target `curves`: any bytes are a curve or a `CurveError`, and every curve has its plans."""

from __future__ import annotations

from collections.abc import Iterator

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.errors import CurveError
from thumbstream.page_budget import PageImage, plan_budget

LONGEST = 120
"""Bytes of an input: 20 points; a measured curve has 10 to 30."""
WORDS = (b"\0\1", b"\xff\xff")
BUDGETS = (1, 40, 999_999_999)


def check(data: bytes) -> bool:
    """Hold the invariant for a stored curve; whether it was one."""
    try:
        curve = RateCurve.from_bytes(data)
    except CurveError:
        assert RateCurve.from_stored(data) is None
        return False
    assert curve.to_bytes() == data
    assert RateCurve.from_stored(data) == curve
    for measure, qualities in (("ssim", curve.ssim), ("psnr", curve.psnr)):
        for goal in (0.0, qualities[0], max(qualities)):
            reached = curve.shortest(measure, goal)
            assert reached in curve.lengths
        images = [PageImage(curve.lengths, qualities), PageImage(curve.lengths, qualities[::-1], 3)]
        for total in BUDGETS:
            found = plan_budget(images, total)
            assert found.best.bytes <= total
            assert found.best.mean >= found.uniform.mean >= 0
    return True


def mended(data: bytes) -> bytes:
    """``data`` as it is."""
    return data


def seeds() -> Iterator[tuple[str, bytes]]:
    """Curves of one point, of some, and of the steepest."""
    yield "one-point", RateCurve((1,), (0.5,), (20.0,)).to_bytes()
    lengths = (4, 9, 20, 48, 110)
    yield "rising", RateCurve(lengths, (0.1, 0.3, 0.5, 0.7, 0.9), (15, 18, 21, 25, 30)).to_bytes()
    yield "steepest", RateCurve((1, 0xFFFF), (0.0, 1.0), (0.0, 100.0)).to_bytes()
    yield "falling", RateCurve((3, 5, 7), (0.9, 0.2, 0.4), (30, 10, 20)).to_bytes()
