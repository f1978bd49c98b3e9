"""Shows progress on standard error: a bar with the remaining time, and a line per failed file.

A thread counts the files while files are already encoded, so that the run does not wait until
millions of files are counted. If standard error is not a terminal, one line every
`LOG_INTERVAL_SECONDS` replaces the bar.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from thumbstream.bulk.journal import FileResult

LOG_INTERVAL_SECONDS = 30.0
"""Minimum time between two lines of progress if there is no bar."""

REDRAW_SECONDS = 0.2
"""Minimum time between two updates of the bar."""


class Progress:
    """A `thumbstream.bulk.runner.Report` that writes to standard error."""

    def __init__(self) -> None:
        self._bar = tqdm(
            unit=" pictures",
            smoothing=0,
            mininterval=REDRAW_SECONDS,
            disable=not sys.stderr.isatty(),
        )
        self._started = self._logged = time.monotonic()
        self._done_before = self._finished = 0
        self.total: int | None = None
        """Number of all files; None until all files are counted."""

    def count(self, paths: Callable[[], Iterable[str]]) -> None:
        """Start a thread that counts ``paths()`` to set `total`."""
        threading.Thread(target=self._count, args=(paths,), daemon=True).start()

    def add_done(self, count: int) -> None:
        """Add the number of files that an earlier run has encoded."""
        self._done_before += count
        self._update()

    def add_results(self, results: Sequence[FileResult]) -> None:
        """Add results, and print a line for each failed file."""
        for result in results:
            if result.reason is not None:
                self.log(f"{result.file.path}: {result.reason}")
        self._finished += len(results)
        self._update()

    def log(self, text: str) -> None:
        """Print a line above the bar."""
        log(text)

    def close(self) -> None:
        """End the bar, which stays visible."""
        self._bar.close()

    def _count(self, paths: Callable[[], Iterable[str]]) -> None:
        try:
            self.total = sum(1 for _ in paths())
        except (OSError, ValueError):  # the run itself meets this error and reports it
            return
        self._bar.total = self.total

    def _update(self) -> None:
        if not self._bar.disable:
            # Files of an earlier run took no time, so the rate must not include them.
            self._bar.initial = self._bar.n = self._done_before
            self._bar.update(self._finished)
            return
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL_SECONDS:
            self._logged = now
            self.log(self._line(now - self._started))

    def _line(self, elapsed: float) -> str:
        return str(
            tqdm.format_meter(
                self._done_before + self._finished,
                self.total,
                elapsed,
                initial=self._done_before,
                unit=" pictures",
                bar_format="{n_fmt} of {total_fmt} pictures, {rate_noinv_fmt}, {remaining} left",
            )
        )


def log(text: str) -> None:
    """Print a line on standard error, above a progress bar if there is one."""
    tqdm.write(f"thumbstream: {_printable(text)}", file=sys.stderr)


def _printable(text: str) -> str:
    """Escape control characters and undecodable bytes, which file names may contain."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
