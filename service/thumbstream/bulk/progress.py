"""How it goes: a bar with the time that is left, a line for every picture that failed.

The pictures are counted in a thread of its own while the work has begun, so that the first one does
not wait for a walk through millions. Without a terminal, a line every `LINE_S` instead of a bar.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from thumbstream.bulk.journal import Entry

LINE_S = 30.0
"""Between two lines where no bar can be drawn, seconds."""


REDRAW_S = 0.2
"""Between two pictures of the bar, seconds."""


class Progress:
    """A `Report` to standard error."""

    def __init__(self) -> None:
        self._bar = tqdm(
            unit=" pictures", smoothing=0, mininterval=REDRAW_S, disable=not sys.stderr.isatty()
        )
        self._started = self._told = time.monotonic()
        self._settled = self._skipped = 0
        self.total: int | None = None
        """Pictures in all, once they are counted."""

    def count(self, everything: Callable[[], Iterable[object]]) -> None:
        """Learn in the background how many there are."""
        threading.Thread(target=self._count, args=(everything,), daemon=True).start()

    def skipped(self, pictures: int) -> None:
        """So many were done before."""
        self._skipped += pictures
        self._draw()

    def settled(self, entries: Sequence[Entry]) -> None:
        """These are in the journal now."""
        for entry in entries:
            if entry.reason is not None:
                self.say(f"{entry.found.path}: {entry.reason}")
        self._settled += len(entries)
        self._draw()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        tqdm.write(f"thumbstream: {_printable(text)}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _count(self, everything: Callable[[], Iterable[object]]) -> None:
        try:
            self.total = sum(1 for _ in everything())
        except (OSError, ValueError):  # whoever does the work meets it as well, and tells it
            return
        self._bar.total = self.total

    def _draw(self) -> None:
        if not self._bar.disable:
            # What was skipped took no time: it must not make the rest look quick.
            self._bar.initial = self._skipped
            self._bar.n = self._skipped
            self._bar.update(self._settled)
            return
        now = time.monotonic()
        if now - self._told >= LINE_S:
            self._told = now
            self.say(self._line(now - self._started))

    def _line(self, elapsed: float) -> str:
        return str(
            tqdm.format_meter(
                self._skipped + self._settled,
                self.total,
                elapsed,
                initial=self._skipped,
                unit=" pictures",
                bar_format="{n_fmt} of {total_fmt} pictures, {rate_noinv_fmt}, {remaining} left",
            )
        )


def _printable(text: str) -> str:
    """Names may hold what no terminal should be sent: control characters, bytes of no text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
