"""Options that several commands share, and the files that they read and write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from thumbstream.codec.bitstream import check_size
from thumbstream.codec.prefix_search import Target
from thumbstream.encoding import EncodeOptions
from thumbstream.images import Alpha
from thumbstream.models import ModelRegistry, installed_models

if TYPE_CHECKING:
    from thumbstream.settings import Settings

STANDARD = "-"
"""Standard input or output."""

STORE_HELP = "sqlite:///path, redis://..., rediss://..., redis+cluster://..."

Command = Callable[[argparse.Namespace], int]
"""Runs with the parsed arguments; returns the exit status."""


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Command,
    text: str,
) -> argparse.ArgumentParser:
    """The parser of a new command."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=run)
    return parser


def add_encode_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `encode_options` reads."""
    parser.add_argument(
        "--size",
        type=_side,
        help="long side in pixels (default: THUMBSTREAM_DEFAULT_SIZE, 32)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--max-bytes", type=positive, help="limit of a stream's length")
    length.add_argument(
        "--target",
        type=_target,
        metavar="TARGET",
        help="ssim:0.85 or psnr:28: the fewest bytes that reach it; bytes:64: the best in 64 bytes",
    )
    parser.add_argument(
        "--alpha",
        choices=list(map(str, Alpha)),
        default=str(Alpha.KEEP),
        help="keep transparency if the model supports it, or flatten it over white (default: keep)",
    )
    parser.add_argument(
        "--model", help="model id (default: the first of THUMBSTREAM_MODELS, else of `models`)"
    )


def add_force_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--force``, for `write_output`."""
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")


def read_settings(**options: object) -> Settings:
    """The settings of the environment; ``options`` that are not None replace theirs."""
    from thumbstream.settings import load_settings  # pydantic: only commands that need it

    return load_settings(**{name: value for name, value in options.items() if value is not None})


def encode_options(args: argparse.Namespace, settings: Settings) -> EncodeOptions:
    """The options of `add_encode_options`, completed from the settings as the service does.

    Raises `UnknownModelError` for a model that is not installed.
    """
    models = registry(settings)
    model = args.model or (settings.models or models.installed)[0]
    models.manifest(model)
    size = args.size or settings.default_size
    return EncodeOptions(size, args.max_bytes, args.target, model, Alpha(args.alpha))


def registry(settings: Settings) -> ModelRegistry:
    """The installed models on the device of the settings."""
    return installed_models(settings.device)


def read_input(name: str) -> bytes:
    """The bytes of a file or of standard input."""
    return sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()


def write_output(name: str, data: bytes, *, force: bool) -> None:
    """Write a file or to standard output; without ``force`` an existing file is an error."""
    if name == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    replace = force or (path.exists() and not path.is_file())  # a device or a pipe
    try:
        with path.open("wb" if replace else "xb") as file:
            file.write(data)
    except FileExistsError:
        raise FileExistsError(f"{name} exists: use --force to overwrite it") from None


def positive(text: str) -> int:
    """An integer of 1 or more."""
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
