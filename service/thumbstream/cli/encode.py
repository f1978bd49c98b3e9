"""``thumbstream encode``, which writes the streams of pictures to files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from thumbstream.cli.options import (
    STANDARD,
    add_command,
    add_encode_options,
    add_force_option,
    encode_options,
    read_input,
    read_settings,
    registry,
    write_output,
)
from thumbstream.cli.progress import log
from thumbstream.encoding import EncodeOptions, encode_picture
from thumbstream.errors import ThumbstreamError

if TYPE_CHECKING:
    from thumbstream.settings import Settings

SUFFIX = ".ths"
"""Suffix of stream files, appended to the name of the picture file: ``photo.jpg.ths``."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = add_command(commands, "encode", run, "write the streams of pictures to files")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture file, or -")
    parser.add_argument(
        "-o",
        "--output",
        help="stream file, folder or -; with several pictures a folder "
        f"(default: next to the picture, as photo.jpg{SUFFIX})",
    )
    add_force_option(parser)
    add_encode_options(parser)


def run(args: argparse.Namespace) -> int:
    """Encode every picture, also after a failure; returns the exit status."""
    settings = read_settings()
    options = encode_options(args, settings)
    many = len(args.pictures) > 1
    failed = 0
    written: set[str] = set()
    bar = tqdm(args.pictures, unit=" pictures", disable=not many or not sys.stderr.isatty())
    for name in bar:
        try:
            output = _output_name(name, args.output, many=many)
            if output in written:
                raise FileExistsError(f"two pictures would be written to {output}")
            _check_output(name, output)
            write_output(output, _encode(name, options, settings), force=args.force)
            written.add(output)
        except (ThumbstreamError, OSError) as error:
            if not many:
                raise
            failed += 1
            log(f"{name}: {error}")
    return 1 if failed else 0


def _encode(name: str, options: EncodeOptions, settings: Settings) -> bytes:
    picture = read_input(name) if name == STANDARD else Path(name)
    codec = registry(settings).load(options.model)
    encoded = encode_picture(picture, options, codec, limits=settings.image_limits)
    if encoded.truncated:
        log(f"{name}: the end of the file is missing; a part of the picture may be grey")
    if options.target is not None and not encoded.target_reached:
        target = f"{options.target.measure} {options.target.value:g}"
        log(f"{name}: even the whole stream is below {target}")
    return encoded.stream


def _output_name(picture: str, output: str | None, *, many: bool) -> str:
    if output is None:
        return STANDARD if picture == STANDARD else picture + SUFFIX
    if many or Path(output).is_dir():
        if STANDARD in (output, picture):
            raise ValueError("several streams need a folder as --output, and names: - has none")
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / (Path(picture).name + SUFFIX))
    return output


def _check_output(picture: str, output: str) -> None:
    """Raise `OSError` if ``picture`` is a folder, or if ``output`` is the file of the picture."""
    if picture == STANDARD:
        return
    if Path(picture).is_dir():
        raise IsADirectoryError(f"{picture} is a folder: `thumbstream compress-all` encodes those")
    if output != STANDARD and Path(output).exists() and Path(output).samefile(picture):
        raise FileExistsError(f"{output} is the picture itself")
