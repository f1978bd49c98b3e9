"""Options that several commands share, and what they read from text."""

from __future__ import annotations

import argparse

from thumbstream.codec.bitstream import check_size
from thumbstream.codec.prefix_search import Target
from thumbstream.images import Alpha

STORE_HELP = "sqlite:///path, redis://..., rediss://..., redis+cluster://"


def add_encoding_options(parser: argparse.ArgumentParser, *, size: int | None) -> None:
    """How a stream is made. ``size`` is the default; None: what the settings say."""
    told = "THUMBSTREAM_DEFAULT_SIZE, 32" if size is None else size
    parser.add_argument(
        "--size", type=_side, default=size, help=f"long side in pixels (default: {told})"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--max-bytes", type=positive, help="longest stream")
    length.add_argument(
        "--target",
        type=_target,
        metavar="GOAL",
        help="ssim:0.85 or psnr:28: the fewest bytes that reach it; bytes:64: the best so long",
    )
    parser.add_argument(
        "--alpha",
        choices=list(map(str, Alpha)),
        default=str(Alpha.KEEP),
        help="keep transparency where the model can, or flatten it over white (default: keep)",
    )
    parser.add_argument("--model", help="model id (default: the first of `thumbstream models`)")


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _side(text: str) -> int:
    try:
        return check_size(int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _target(text: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
