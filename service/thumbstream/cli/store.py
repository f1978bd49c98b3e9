"""``thumbstream store``: looks into a store, and deletes, moves and verifies its streams.

Progress goes to standard error if that is a terminal. Exit status 1 if ``verify`` finds a fault
that is not repaired.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from thumbstream.cli.options import (
    STANDARD,
    STORE_HELP,
    add_command,
    label,
    positive,
    read_settings,
)
from thumbstream.ids import is_id
from thumbstream.storage import Store, maintenance, open_store
from thumbstream.storage.base import DAY_S, PAGE_SIZE
from thumbstream.storage.maintenance import OnProgress

_STORE_HELP = f"{STORE_HELP} (default: THUMBSTREAM_STORE)"

Work = Callable[[Store, argparse.Namespace], Coroutine[Any, Any, int]]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``store`` with its own commands to the parser."""
    text = "look into a store; delete, move and verify its streams"
    store = commands.add_parser("store", help=text, description=text)
    inner = store.add_subparsers(required=True, metavar="COMMAND")

    stats = _add(inner, "stats", _stats, "count streams and bytes")
    stats.add_argument("--json", action="store_true", help="as one JSON object")

    listing = _add(inner, "list", _list, "list streams, a JSON object a line")
    listing.add_argument("--label", type=label, help="only those with this label")

    delete = _add(inner, "delete", _delete, "delete streams, and print their ids", writes=True)
    which = delete.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids",
        nargs="*",
        default=[],
        metavar="ID",
        help="ids, or - to read them; after -- if one begins with a hyphen",
    )
    which.add_argument(
        "--label", type=label, help="remove this label, and delete streams without another upload"
    )
    which.add_argument(
        "--older-than",
        type=positive,
        metavar="DAYS",
        help="those first uploaded before that, or by a version that did not record the time",
    )

    export = _add(inner, "export", _export, "write all streams to a file of JSON lines")
    export.add_argument("file", metavar="FILE", help="file, or -")

    load = add_command(inner, "import", _import, "store the streams of an exported file")
    load.add_argument("--store", help=_STORE_HELP)
    load.add_argument("file", metavar="FILE", help="file, or -")

    verify = _add(inner, "verify", _verify, "compare every stream with its id")
    verify.add_argument(
        "--repair", action="store_true", help="delete what is damaged, or a curve without a stream"
    )

    copy = add_command(inner, "copy", _copy, "copy all streams to another store; may be repeated")
    copy.add_argument("--from", dest="source", required=True, metavar="URL", help=STORE_HELP)
    copy.add_argument("--to", dest="target", required=True, metavar="URL", help=STORE_HELP)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    work: Work,
    text: str,
    *,
    writes: bool = False,
) -> argparse.ArgumentParser:
    """Add a command that runs ``work`` on a store, which is opened for reading only by default."""

    def run(args: argparse.Namespace) -> int:
        read_only = not (writes or getattr(args, "repair", False))
        return asyncio.run(_on_store(work, args, create=False, read_only=read_only))

    parser = add_command(commands, name, run, text)
    parser.add_argument("--store", help=_STORE_HELP)
    return parser


async def _on_store(
    work: Work, args: argparse.Namespace, *, create: bool, read_only: bool = False
) -> int:
    async with _opened(args.store, create=create, read_only=read_only) as store:
        return await work(store, args)


@asynccontextmanager
async def _opened(
    url: str | None, *, create: bool, read_only: bool = False
) -> AsyncIterator[Store]:
    settings = read_settings(store=url)
    timeout = settings.store_timeout_seconds
    store = open_store(settings.store, timeout=timeout, create=create, read_only=read_only)
    await store.open()
    try:
        await store.ping()
        yield store
    finally:
        await store.close()


async def _stats(store: Store, args: argparse.Namespace) -> int:
    with _progress() as on_progress:
        sums = dataclasses.asdict(await maintenance.stats(store, on_progress))
    if args.json:
        print(json.dumps(sums))
    else:
        for time_of in ("first", "last"):
            sums[time_of] = _time(sums[time_of])
        for name, value in sums.items():
            print(f"{name.replace('_', ' '):14}{value}")
    return 0


async def _list(store: Store, args: argparse.Namespace) -> int:
    with _progress() as on_progress:
        if args.label:
            streams = maintenance.list_of_label(store, args.label)
        else:
            streams = maintenance.list_streams(store, on_progress)
        async for info in streams:
            print(json.dumps(maintenance.describe(info), ensure_ascii=False))
    return 0


async def _delete(store: Store, args: argparse.Namespace) -> int:
    if args.label:
        more = True
        while more:
            removal = await store.remove_label(args.label)
            _print_ids(removal.deleted)
            more = removal.more
    elif args.older_than:
        before = int(time.time()) - args.older_than * DAY_S
        with _progress() as on_progress:
            infos = maintenance.list_streams(store, on_progress)
            old = (info.key async for info in infos if (info.record.created or 0) < before)
            await _delete_all(store, [key async for key in old])
    else:
        await _delete_all(store, _ids(args.ids))
    return 0


async def _delete_all(store: Store, keys: list[str]) -> None:
    for first in range(0, len(keys), PAGE_SIZE):
        infos = await store.info_many(list(dict.fromkeys(keys[first : first + PAGE_SIZE])))
        page = [info.key for info in infos if info is not None]
        await store.delete_many(page)
        _print_ids(page)


async def _export(store: Store, args: argparse.Namespace) -> int:
    with _progress() as on_progress, _output(args.file) as file:
        count = await maintenance.export(store, file, on_progress)
    _log(f"{count} streams exported")
    return 0


def _import(args: argparse.Namespace) -> int:
    with _input(args.file) as file:  # before the store, which may be made
        return asyncio.run(_on_store(partial(_load, file), args, create=True))


async def _load(file: TextIO, store: Store, _: argparse.Namespace) -> int:
    with _progress() as on_progress:
        size, read = _size(file), 0

        def lines() -> Iterator[str]:
            nonlocal read
            for line in file:
                read += len(line)  # exported lines are ASCII but for labels
                yield line

        count = await maintenance.load(
            store, lines(), lambda count: on_progress(min(1.0, read / size) if size else 0.0, count)
        )
    _log(f"{count} streams imported")
    return 0


async def _verify(store: Store, args: argparse.Namespace) -> int:
    with _progress() as on_progress:
        result = await maintenance.verify(store, on_progress, repair=args.repair)
    for fault, keys in (
        ("damaged stream", result.damaged_streams),
        ("damaged curve", result.damaged_curves),
        ("curve without a stream", result.orphaned_curves),
    ):
        for key in keys:
            print(f"{key}: {fault}")
    faults = sum(map(len, (result.damaged_streams, result.damaged_curves, result.orphaned_curves)))
    _log(f"{result.streams} streams verified, {faults} faults" + ", deleted" * args.repair)
    return 0 if result.ok or args.repair else 1


def _copy(args: argparse.Namespace) -> int:
    async def copy() -> int:
        async with (
            _opened(args.source, create=False, read_only=True) as source,
            _opened(args.target, create=True) as target,
        ):
            with _progress() as on_progress:
                return await maintenance.copy(source, target, on_progress)

    _log(f"{asyncio.run(copy())} streams copied")
    return 0


def _ids(given: list[str]) -> list[str]:
    """Return the ids that are given, or those of standard input, one a line, for ``-``."""
    keys = [line.strip() for line in sys.stdin] if given == [STANDARD] else given
    for key in keys:
        if not is_id(key):
            raise ValueError(f"{key[:64]!r} is not an id")
    return keys


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Show a bar on standard error if that is a terminal."""
    form = "{percentage:3.0f} %|{bar}| {postfix}, {remaining} left"
    bar = tqdm(total=1.0, bar_format=form, disable=not sys.stderr.isatty(), leave=False)

    def show(fraction: float, count: int) -> None:
        bar.set_postfix_str(f"{count} streams", refresh=False)
        bar.update(fraction - bar.n)

    with bar:
        yield show


@contextmanager
def _output(name: str) -> Iterator[TextIO]:
    """Open a new file, or standard output for ``-``. The file has its name once it is complete."""
    if name == STANDARD:
        yield sys.stdout
        return
    path = Path(name)
    if path.exists():
        raise FileExistsError(f"{name} exists already")
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        yield file
    partial.rename(path)


def _input(name: str) -> contextlib.AbstractContextManager[TextIO]:
    if name == STANDARD:
        return contextlib.nullcontext(sys.stdin)
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise OSError(f"cannot read {name}: {error.strerror}") from None


def _size(file: TextIO) -> int:
    """Return the size of a regular file in bytes; 0 for a pipe."""
    return os.fstat(file.fileno()).st_size


def _print_ids(keys: Iterable[str]) -> None:
    for key in keys:
        print(key)


def _log(text: str) -> None:
    print(f"thumbstream: {text}", file=sys.stderr)


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
