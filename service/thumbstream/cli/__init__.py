"""The command line program: ``thumbstream COMMAND``.

``encode`` writes the streams of pictures to files, ``compress-all`` to a store; ``upload`` sends
pictures to a service; ``decode``, ``inspect`` and ``truncate`` read streams; ``models`` lists the
installed models; ``serve`` starts the HTTP service, and ``sign`` signs URLs of the service;
``store`` looks into a store, and deletes, moves and verifies its streams.

A file name ``-`` stands for standard input or output. Exit status: 0 success, 1 error (the message
names the cause), 2 invalid command line, 130 interrupted. ``compress-all`` and ``upload`` return
128 plus the signal number if a signal stopped the run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import thumbstream
from thumbstream.cli import compress_all, encode, serve, streams, upload
from thumbstream.cli import store as store_commands
from thumbstream.cli.options import Command
from thumbstream.errors import ThumbstreamError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    ``arguments``: the command line arguments; None means those of this process.
    """
    args = _parser().parse_args(arguments)
    command: Command = args.command
    try:
        status = command(args)
        sys.stdout.flush()  # raises BrokenPipeError here and not at the exit
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
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
    encode.add_to(commands)
    compress_all.add_to(commands)
    upload.add_to(commands)
    streams.add_to(commands)
    serve.add_to(commands)
    store_commands.add_to(commands)
    return parser
