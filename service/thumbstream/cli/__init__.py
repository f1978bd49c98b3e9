"""The command line: ``thumbstream encode | decode | inspect | truncate | models | sign | serve``.

``thumbstream compress-all`` has a module of its own.

``-`` stands for standard input or output everywhere. Exit status: 0 done, 1 an input could not be
used (the message names it), 2 the command line itself is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

import thumbstream
from thumbstream.cli import compress_all
from thumbstream.cli.arguments import STORE_HELP, add_encoding_options, positive
from thumbstream.encoding import DEFAULT_SIZE, EncodeOptions, encode_picture
from thumbstream.errors import ThumbstreamError
from thumbstream.images import Alpha
from thumbstream.images.write import PictureFormat, write_picture
from thumbstream.models import installed_models

SUFFIX = ".ths"
"""File name ending of a stored stream."""
STANDARD = "-"
_PICTURE_SUFFIXES = {".png": PictureFormat.PNG, ".webp": PictureFormat.WEBP}

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    command: Command = args.command
    try:
        status = command(args)
        sys.stdout.flush()  # a reader that has gone is noticed here, not at the interpreter's exit
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ThumbstreamError, OSError, ValueError) as error:
        print(f"thumbstream: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thumbstream", description="Progressive previews in a handful of bytes."
    )
    parser.add_argument("--version", action="version", version=thumbstream.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode = _command(commands, "encode", _encode, "pictures to streams")
    encode.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture file, or -")
    encode.add_argument(
        "-o", "--output", help="stream file or -; with several pictures a folder (default: beside)"
    )
    add_encoding_options(encode, size=DEFAULT_SIZE)

    bulk = _command(commands, "compress-all", compress_all.run, compress_all.TEXT)
    compress_all.add_arguments(bulk)

    decode = _command(commands, "decode", _decode, "a stream, or a prefix of one, to a picture")
    _stream_argument(decode)
    decode.add_argument("-o", "--output", required=True, help="PNG or WebP file, or - (then PNG)")
    decode.add_argument("--bytes", type=positive, help="use only so many bytes of the stream")
    decode.add_argument("--scale", type=positive, default=1, help="enlarge smoothly (default: 1)")

    inspect = _command(commands, "inspect", _inspect, "what a stream says about itself")
    _stream_argument(inspect)
    inspect.add_argument("--json", action="store_true", help="as one JSON object")

    truncate = _command(commands, "truncate", _truncate, "the first bytes of a stream")
    _stream_argument(truncate)
    truncate.add_argument("--bytes", type=positive, required=True, help="how many")
    truncate.add_argument("-o", "--output", default=STANDARD, help="file (default: -)")

    models = _command(commands, "models", _models, "the published models")
    models.add_argument("--json", action="store_true", help="their whole manifests")

    sign = _command(commands, "sign", _sign, "a URL that may be read where reads are signed")
    sign.add_argument(
        "url", metavar="URL", help="/thumb/ID, /t/ID/64, /thumbs?ids=ID,ID, or * for every stream"
    )
    sign.add_argument(
        "--expires",
        type=_duration,
        required=True,
        metavar="TIME",
        help="from now: 90s, 15m, 1h, 7d",
    )
    sign.add_argument(
        "--round",
        type=_duration,
        default=1,
        metavar="TIME",
        help="end on a whole one of these, so that URLs stay the same (and cached) for as long",
    )

    serve = _command(commands, "serve", _serve, "the HTTP service and its demo page")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port (default: 8000)")
    serve.add_argument("--store", help=STORE_HELP)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Command,
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=run)
    return parser


def _stream_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", metavar="STREAM", help="stream file, or -")


def _duration(text: str) -> int:
    count, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not count.isdecimal() or not count.isascii() or int(count) < 1:
        raise argparse.ArgumentTypeError("must be a number and s, m, h or d, such as 15m")
    return int(count) * _SECONDS[unit]


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()


def _write(name: str, data: bytes) -> None:
    if name == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        Path(name).write_bytes(data)


def _encode(args: argparse.Namespace) -> int:
    many = len(args.pictures) > 1
    failed = 0
    written: set[str] = set()
    bar = tqdm(args.pictures, unit=" pictures", disable=not many or not sys.stderr.isatty())
    for name in bar:
        try:
            place = _stream_name(name, args.output, many=many)
            if place in written:
                raise FileExistsError(f"{place} is the stream of another picture")
            _write(place, _encode_one(name, args))
            written.add(place)
        except (ThumbstreamError, OSError) as error:
            if not many:
                raise
            failed += 1
            tqdm.write(f"thumbstream: {name}: {error}", file=sys.stderr)
    return 1 if failed else 0


def _encode_one(name: str, args: argparse.Namespace) -> bytes:
    picture = _read(name) if name == STANDARD else Path(name)
    options = EncodeOptions(args.size, args.max_bytes, args.target, args.model, Alpha(args.alpha))
    encoded = encode_picture(picture, options, installed_models().load(args.model))
    if not encoded.target_reached:
        goal = f"{args.target.measure} {args.target.value:g}"
        tqdm.write(f"thumbstream: {name}: the whole stream stays below {goal}", file=sys.stderr)
    return encoded.stream


def _stream_name(picture: str, output: str | None, *, many: bool) -> str:
    """Where the stream of ``picture`` goes."""
    if output is None:
        return STANDARD if picture == STANDARD else str(Path(picture).with_suffix(SUFFIX))
    if many or Path(output).is_dir():
        if output == STANDARD or picture == STANDARD:
            raise ValueError("several streams need a folder, and - has no name in one")
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / (Path(picture).name + SUFFIX))
    return output


def _decode(args: argparse.Namespace) -> int:
    suffix = ".png" if args.output == STANDARD else Path(args.output).suffix.lower()
    if suffix not in _PICTURE_SUFFIXES:
        raise ValueError(f"cannot write {args.output}: only {' and '.join(_PICTURE_SUFFIXES)}")
    pixels = thumbstream.decode(_read(args.stream)[: args.bytes])
    _write(args.output, write_picture(pixels, _PICTURE_SUFFIXES[suffix], args.scale))
    return 0


def _inspect(args: argparse.Namespace) -> int:
    facts = thumbstream.inspect(_read(args.stream))
    if args.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:20} {_told(name, value)}")
    return 0


def _told(name: str, value: object) -> object:
    if name == "aspect_ratio" and isinstance(value, tuple):
        return ":".join(map(str, value))
    return value


def _truncate(args: argparse.Namespace) -> int:
    stream = _read(args.stream)
    thumbstream.inspect(stream)  # what is no stream is not cut in silence
    _write(args.output, stream[: args.bytes])
    return 0


def _models(args: argparse.Namespace) -> int:
    manifests = [installed_models().manifest(model_id) for model_id in installed_models().installed]
    if args.json:
        print(json.dumps(manifests))
        return 0
    for manifest in manifests:
        size = sum(entry["bytes"] for entry in manifest["files"].values())
        print(
            f"{manifest['model_id']:20} bitstream {manifest['bitstream_id']}, "
            f"{manifest['family']}, {size / 1e6:.1f} MB"
        )
    return 0


def _sign(args: argparse.Namespace) -> int:
    from thumbstream.http.signing import SigningKeys
    from thumbstream.settings import load_settings

    keys = [key.get_secret_value() for key in load_settings().read_keys]
    if not keys:
        raise ValueError("THUMBSTREAM_READ_KEYS has no key to sign with")
    expires = -(-(int(time.time()) + args.expires) // args.round) * args.round
    print(SigningKeys(keys).sign(args.url, expires))
    return 0


def _serve(args: argparse.Namespace) -> int:
    # The web half of the package is only imported by the command that needs it.
    from thumbstream.server.app import serve
    from thumbstream.settings import load_settings

    names = ("host", "port", "store")
    chosen = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return 0 if serve(load_settings(**chosen)) else 1
