"""Where the paths of a run come from: a folder, a list in a file, a list on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from thumbstream.bulk.scan import Complain, paths_listed, pictures_below

STANDARD_INPUT = "-"


class Source:
    """Where paths come from: ``name`` is a folder, a file with a list, or ``-``."""

    def __init__(self, name: str, separator: bytes) -> None:
        self._name = name
        self._separator = separator
        self.countable = name != STANDARD_INPUT
        """Whether the paths may be gone through a second time, to know how many there are."""

    def paths(self, complain: Complain) -> Iterator[str]:
        """The paths, from the first one. Raises `OSError` and `ValueError`."""
        if self._name == STANDARD_INPUT:
            yield from paths_listed(sys.stdin.buffer, self._separator)
        elif Path(self._name).is_dir():
            yield from pictures_below(self._name, complain)
        else:
            with Path(self._name).open("rb") as file:
                yield from paths_listed(file, self._separator)
