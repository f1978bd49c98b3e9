"""Functions that several commands share: options, settings, and input and output files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from thumbstream.codec.bitstream import check_size
from thumbstream.codec.effort import Effort
from thumbstream.codec.prefix_search import Target
from thumbstream.encoding import EncodeOptions
from thumbstream.images import Alpha
from thumbstream.models import ModelRegistry, installed_models
from thumbstream.storage import check_label

if TYPE_CHECKING:
    from thumbstream.settings import Settings

STANDARD = "-"
"""File name that stands for standard input or output."""

STORE_HELP = "sqlite:///path, redis://..., rediss://..., redis+cluster://..."

Command = Callable[[argparse.Namespace], int]
"""Function that runs a command with the parsed arguments and returns the exit status."""


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Command,
    text: str,
) -> argparse.ArgumentParser:
    """Add a command with the help text ``text``, and return its parser."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=run)
    return parser


def add_encode_options(
    parser: argparse.ArgumentParser,
    *,
    default_size: str = "THUMBSTREAM_DEFAULT_SIZE, 32",
    default_effort: str = "THUMBSTREAM_EFFORT, default",
    default_model: str = "the first of THUMBSTREAM_MODELS, else of `models`",
) -> None:
    """Add the options that `encode_options` reads; the help texts name the defaults."""
    parser.add_argument(
        "--size",
        type=_side,
        help=f"long side in pixels (default: {default_size})",
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
        "--effort",
        choices=list(map(str, Effort)),
        help="fast: without a network; best: several times the work for better pictures in the "
        f"same bytes; if the model can do that (default: {default_effort})",
    )
    parser.add_argument("--model", help=f"model id (default: {default_model})")


def add_force_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--force``, an argument of `write_output`."""
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")


def read_settings(**options: object) -> Settings:
    """Read the settings from the environment; ``options`` that are not None override them."""
    from thumbstream.settings import load_settings  # imports pydantic; not every command needs it

    return load_settings(**{name: value for name, value in options.items() if value is not None})


def encode_options(args: argparse.Namespace, settings: Settings) -> EncodeOptions:
    """Return the values of the options that `add_encode_options` adds.

    As in the service, the settings determine options that are not given.

    Raises `UnknownModelError` for a model that is not installed.
    """
    models = registry(settings)
    model = args.model or (settings.models or models.installed)[0]
    models.manifest(model)
    size = args.size or settings.default_size
    alpha, effort = Alpha(args.alpha), Effort(args.effort or settings.effort)
    return EncodeOptions(size, args.max_bytes, args.target, model, alpha, effort)


def registry(settings: Settings) -> ModelRegistry:
    """Return the registry of installed models for the device of ``settings``."""
    return installed_models(settings.device)


def read_input(name: str) -> bytes:
    """Read the file ``name``, or standard input for ``-``."""
    return sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()


def write_output(name: str, data: bytes, *, force: bool) -> None:
    """Write ``data`` to the file ``name``, or to standard output for ``-``.

    Raises `FileExistsError` if the file exists, unless ``force`` is True.
    """
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
    """Parse an integer of at least 1, as the ``type`` of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def label(text: str) -> str:
    """Parse a label, as the ``type`` of an option."""
    try:
        return check_label(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
