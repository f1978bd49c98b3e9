"""Pictures in folders, and the command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from thumbstream.storage.sqlite import open_reader

TIMEOUT_S = 120.0


def draw_pictures(folder: Path, count: int, *, side: int = 64, start: int = 0) -> list[Path]:
    """``count`` different pictures: smooth colours, ``side`` wide and half as high."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(start, start + count):
        colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        size = (side, side // 2 + seed % 7)
        path = folder / f"{seed}.png"
        Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


@dataclass
class Bulk:
    """``thumbstream compress-all`` in a folder, and what it wrote there."""

    folder: Path
    store: str = "sqlite:///streams.db"
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start it; ``options`` are of `subprocess.Popen`."""
        command = [sys.executable, "-m", "thumbstream", "compress-all", *map(str, arguments)]
        process = subprocess.Popen(
            [*command, "--store", self.store],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.begun.append(process)
        return process

    def run(self, *arguments: str | Path, stdin: str | None = None) -> tuple[int, str]:
        """Exit status and standard error."""
        process = self.begin(*arguments)
        _, errors = process.communicate(stdin, timeout=TIMEOUT_S)
        return process.returncode, errors

    def manifest(self) -> dict[str, dict[str, Any]]:
        """What ``--manifest out.jsonl`` wrote, by path."""
        lines = (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return {row["path"]: row for row in map(json.loads, lines)}

    def end(self) -> None:
        """Kill whatever a failed test left behind."""
        for process in self.begun:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate(timeout=TIMEOUT_S)


def stored(path: Path) -> dict[str, bytes]:
    """Everything in a SQLite store; nothing while there is none."""
    if not path.exists():
        return {}
    with closing(open_reader(path)) as reader:
        try:
            return dict(reader.execute("SELECT id, stream FROM thumb"))
        except sqlite3.OperationalError:  # not set up yet
            return {}


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
