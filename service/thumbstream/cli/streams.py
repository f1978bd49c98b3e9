"""The commands ``thumbstream decode``, ``inspect``, ``truncate`` and ``models``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import thumbstream
from thumbstream.cli.options import (
    STANDARD,
    add_command,
    add_force_option,
    positive,
    read_input,
    write_output,
)
from thumbstream.images.write import PictureFormat, write_picture
from thumbstream.models import installed_models

_FORMATS = {".png": PictureFormat.PNG, ".webp": PictureFormat.WEBP}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the parser."""
    decode = add_command(commands, "decode", _decode, "decode a stream, or a prefix of one")
    _add_stream(decode)
    decode.add_argument("-o", "--output", required=True, help="PNG or WebP file, or - (then PNG)")
    decode.add_argument("--bytes", type=positive, metavar="N", help="only the first N bytes")
    decode.add_argument("--scale", type=positive, default=1, help="enlarge smoothly (default: 1)")
    add_force_option(decode)

    inspect = add_command(commands, "inspect", _inspect, "show what a stream says about itself")
    _add_stream(inspect)
    inspect.add_argument("--json", action="store_true", help="as one JSON object")

    truncate = add_command(commands, "truncate", _truncate, "cut a stream to its first bytes")
    _add_stream(truncate)
    truncate.add_argument("--bytes", type=positive, metavar="N", required=True, help="how many")
    truncate.add_argument("-o", "--output", default=STANDARD, help="file (default: -)")
    add_force_option(truncate)

    models = add_command(commands, "models", _models, "list the installed models")
    models.add_argument("--json", action="store_true", help="their manifests")


def _add_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", metavar="STREAM", help="stream file, or -")


def _decode(args: argparse.Namespace) -> int:
    suffix = ".png" if args.output == STANDARD else Path(args.output).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"cannot write {args.output}: only {' and '.join(_FORMATS)}")
    pixels = thumbstream.decode(read_input(args.stream)[: args.bytes])
    picture = write_picture(pixels, _FORMATS[suffix], args.scale)
    write_output(args.output, picture, force=args.force)
    return 0


def _inspect(args: argparse.Namespace) -> int:
    facts = thumbstream.inspect(read_input(args.stream))
    if args.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:20} {_text(name, value)}")
    return 0


def _text(name: str, value: object) -> object:
    if name == "aspect_ratio" and isinstance(value, tuple):
        return ":".join(map(str, value))
    return value


def _truncate(args: argparse.Namespace) -> int:
    stream = read_input(args.stream)
    thumbstream.inspect(stream)  # raises if it is not a stream
    write_output(args.output, stream[: args.bytes], force=args.force)
    return 0


def _models(args: argparse.Namespace) -> int:
    models = installed_models()
    manifests = [models.manifest(model_id) for model_id in models.installed]
    if args.json:
        print(json.dumps(manifests))
        return 0
    width = max(len(model_id) for model_id in models.installed)
    for manifest in manifests:
        size = sum(entry["bytes"] for entry in manifest["files"].values())
        print(
            f"{manifest['model_id']:{width}} bitstream id {manifest['bitstream_id']}, "
            f"{manifest['family']}, {size / 1e6:.1f} MB"
        )
    return 0
