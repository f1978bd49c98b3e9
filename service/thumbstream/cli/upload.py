"""``thumbstream upload``, which uploads the pictures of a folder or a list to a service.

The journal, the results file, and the exit status are those of ``compress-all``. A picture that
the service rejects is recorded as failed. An error with another cause (a wrong token, a full store,
a service that does not answer) ends the run, and the same command continues it.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from thumbstream.bulk.encode_files import Outcome, reason_of
from thumbstream.bulk.journal import EncodedFile, FileResult, JournalRow
from thumbstream.bulk.runner import Runner
from thumbstream.bulk.scan import FileInfo
from thumbstream.cli.bulk import add_files_options, open_journal, run_files
from thumbstream.cli.options import add_command, add_encode_options, label, positive
from thumbstream.cli.progress import Progress
from thumbstream.errors import ThumbstreamError

if TYPE_CHECKING:
    from thumbstream.client import AsyncClient

JOURNAL = "upload.journal"

DEFAULT_CONNECTIONS = 8

MAX_UNREACHABLE = 3
"""Consecutive pictures without a response that end the run: the picture is not the cause."""

MAX_PAUSE_SECONDS = 60.0
"""Longest pause between two attempts: a rate limit of 60/minute is waited for."""

ATTEMPTS = 10
"""Attempts for each picture: with growing pauses they last for two minutes."""

IDS_IN_BATCH = 64
"""Ids in one request of ``--verify``: the limit of the service."""

_REJECTED_STATUSES = frozenset({413, 415, 422})
_REJECTED_CODES = frozenset({"out_of_memory", "job_timeout"})

T = TypeVar("T")


@dataclass(frozen=True)
class UploadOptions:
    """Options of every upload of a run; None: the service's default."""

    size: int | None
    max_bytes: int | None
    target: str | None
    model: str | None
    alpha: Literal["keep", "flatten"]
    effort: Literal["fast", "default", "best"] | None
    label: str | None


@dataclass(frozen=True)
class UploadJob:
    """The job of the runner."""

    options: UploadOptions
    curves: bool = False
    """The service decides whether it measures curves."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "upload the pictures of a folder or a list to a service; continues where it stopped"
    parser = add_command(commands, "upload", run, text)
    add_files_options(parser, JOURNAL)
    parser.add_argument("--server", required=True, metavar="URL", help="http://host:8000")
    parser.add_argument("--token-file", metavar="FILE", help="file with the bearer token")
    parser.add_argument(
        "--connections",
        type=positive,
        default=DEFAULT_CONNECTIONS,
        metavar="N",
        help=f"uploads at a time (default: {DEFAULT_CONNECTIONS})",
    )
    parser.add_argument(
        "--label", type=label, help="a name to find and delete these streams by, as ?label="
    )
    add_encode_options(
        parser,
        default_size="the service's",
        default_effort="the service's",
        default_model="the service's",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    target = None if args.target is None else f"{args.target.measure}:{args.target.value:g}"
    options = UploadOptions(
        args.size, args.max_bytes, target, args.model, args.alpha, args.effort, args.label
    )
    with (
        open_journal(args, asdict(options), _identity(args.server)) as journal,
        closing(Service(args.server, _token(args.token_file), args.connections)) as service,
        closing(Progress()) as progress,
    ):
        runner = Runner(UploadJob(options), service, service, journal, progress, verify=args.verify)
        return run_files(args, runner, journal, progress)


class Service:
    """The service as worker pool and as destination of a run: it encodes and stores.

    A thread of its own runs the requests, at most ``connections`` at a time.
    """

    batch_size = 1
    crash_errors: tuple[type[BaseException], ...] = ()
    isolated = True

    def __init__(self, url: str, token: str | None, connections: int) -> None:
        try:
            from thumbstream.client import AsyncClient, RetryPolicy
        except ImportError as error:  # httpx is an extra
            raise ThumbstreamError(str(error)) from None
        self._connections = connections
        self._unreachable = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        retries = RetryPolicy(attempts=ATTEMPTS, max_pause=MAX_PAUSE_SECONDS)
        self._client: AsyncClient = AsyncClient(url, token=token, retries=retries)
        self._in_flight: set[Future[list[Outcome]]] = set()

    def max_in_flight(self) -> int:
        """Return the number of connections."""
        return self._connections

    def submit(self, job: UploadJob, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start to upload ``batch``."""
        future = self._start(self._upload(job.options, batch))
        self._in_flight.add(future)
        future.add_done_callback(self._in_flight.discard)
        return future

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store nothing: the service has stored what it encoded."""

    def missing(self, rows: Sequence[JournalRow], *, curves: bool) -> set[str]:
        """Return the ids of ``rows`` that the service does not have. Raises `ClientError`."""
        ids = list(dict.fromkeys(row.id for row in rows))
        batches = [ids[at : at + IDS_IN_BATCH] for at in range(0, len(ids), IDS_IN_BATCH)]
        found = [self._start(self._client.thumbs(batch, bytes=1)).result() for batch in batches]
        return {key for batch in found for key, prefix in batch.items() if prefix is None}

    def close(self) -> None:
        """Cancel the uploads in flight and close the connections."""
        for future in list(self._in_flight):
            future.cancel()
        self._start(self._client.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _upload(self, options: UploadOptions, batch: Sequence[FileInfo]) -> list[Outcome]:
        return [Outcome(await self._upload_file(options, file)) for file in batch]

    async def _upload_file(self, options: UploadOptions, file: FileInfo) -> FileResult:
        """Upload one picture; raises `ClientError` for an error that is not the picture's."""
        from thumbstream.client import ServiceError, UnreachableError

        try:
            thumbnail = await self._client.compress(file.path, **asdict(options))
        except OSError as error:
            return FileResult(file, reason=reason_of(error))
        except UnreachableError as error:
            self._unreachable += 1
            if self._unreachable >= MAX_UNREACHABLE:
                raise
            return FileResult(file, reason=str(error))
        except ServiceError as error:
            if error.status not in _REJECTED_STATUSES and error.code not in _REJECTED_CODES:
                raise
            return FileResult(file, reason=error.detail)
        self._unreachable = 0
        return FileResult(
            file,
            EncodedFile(
                thumbnail.id,
                thumbnail.length,
                thumbnail.width,
                thumbnail.height,
                thumbnail.prefix,
                thumbnail.truncated,
            ),
        )


def _identity(url: str) -> str:
    """The service in the journal, without a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or an IPv6 address
        valid = False
    if not valid:
        given = url.rpartition("@")[2]  # without a password
        raise ValueError(f"--server: expected a URL such as http://host:8000, got {given!r}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _token(name: str | None) -> str | None:
    if name is None:
        return None
    token = Path(name).read_bytes().decode("utf-8-sig", errors="replace").strip()
    if not token or not (token.isascii() and token.isprintable()):
        raise ValueError(f"--token-file: expected a token of printable ASCII characters in {name}")
    return token
