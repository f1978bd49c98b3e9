"""Progress on standard error: a bar with the time left, a line for each file that failed.

Files are counted in a thread while the work goes on, so that the first one does not wait for a walk
through millions. Without a terminal, a line every `LOG_INTERVAL_SECONDS` replaces the bar.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from thumbstream.bulk.journal import FileResult

LOG_INTERVAL_SECONDS = 30.0
"""Between two lines where there is no bar."""

REDRAW_SECONDS = 0.2
"""Between two updates of the bar."""


class Progress:
    """A `thumbstream.bulk.runner.Report` on standard error."""

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
        """Number of files, once they are counted."""

    def count(self, paths: Callable[[], Iterable[str]]) -> None:
        """Count the files in the background."""
        threading.Thread(target=self._count, args=(paths,), daemon=True).start()

    def add_done(self, count: int) -> None:
        """Count files that an earlier run encoded."""
        self._done_before += count
        self._update()

    def add_results(self, results: Sequence[FileResult]) -> None:
        """Count results, and print the failed ones."""
        for result in results:
            if result.reason is not None:
                self.log(f"{result.file.path}: {result.reason}")
        self._finished += len(results)
        self._update()

    def log(self, text: str) -> None:
        """Print a line above the bar."""
        log(text)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _count(self, paths: Callable[[], Iterable[str]]) -> None:
        try:
            self.total = sum(1 for _ in paths())
        except (OSError, ValueError):  # the run itself meets this error and reports it
            return
        self._bar.total = self.total

    def _update(self) -> None:
        if not self._bar.disable:
            # Files that were done before took no time: they must not raise the rate.
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
    """Escapes control characters and undecodable bytes, which file names may contain."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
