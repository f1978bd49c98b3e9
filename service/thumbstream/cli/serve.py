"""``thumbstream serve``, which starts the HTTP service, and ``sign``, which signs its URLs.

The modules of the HTTP service are imported only when one of the two commands runs.
"""

from __future__ import annotations

import argparse
import time

from thumbstream.cli.options import STORE_HELP, add_command, read_settings

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands ``serve`` and ``sign`` to the parser."""
    serve = add_command(commands, "serve", _serve, "start the HTTP service and its demo page")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port (default: 8000)")
    serve.add_argument("--store", help=STORE_HELP)

    sign = add_command(commands, "sign", _sign, "sign a URL, for a service with signed reads")
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
        help="expire at a multiple of this time, so that URLs stay the same (and cached) as long",
    )


def _serve(args: argparse.Namespace) -> int:
    from thumbstream.server.app import serve

    settings = read_settings(host=args.host, port=args.port, store=args.store)
    return 0 if serve(settings) else 1


def _sign(args: argparse.Namespace) -> int:
    from thumbstream.http.app import strip_root_path
    from thumbstream.http.signing import SigningKeys

    settings = read_settings()
    keys = [key.get_secret_value() for key in settings.read_keys]
    if not keys:
        raise ValueError("THUMBSTREAM_READ_KEYS has no key to sign with")
    expires = -(-(int(time.time()) + args.expires) // args.round) * args.round
    signed = SigningKeys(keys).sign(strip_root_path(args.url, settings.root_path), expires)
    print(settings.root_path + signed if signed.startswith("/") else signed)
    return 0


def _duration(text: str) -> int:
    count, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not count.isdecimal() or not count.isascii() or int(count) < 1:
        raise argparse.ArgumentTypeError("must be a number and s, m, h or d, such as 15m")
    return int(count) * _SECONDS[unit]
