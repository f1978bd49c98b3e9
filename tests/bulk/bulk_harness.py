"""Pictures in folders, and the command in a process of its own."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from launch import clean_environment
from PIL import Image

from thumbstream.storage.sqlite import open_reader

TIMEOUT_S = 120.0


def make_pictures(folder: Path, count: int, *, side: int = 64) -> list[Path]:
    """``count`` different pictures: smooth colours, ``side`` wide and half as high."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(count):
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
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start it; ``options`` are of `subprocess.Popen`."""
        command = [sys.executable, "-m", "thumbstream", "compress-all", *map(str, arguments)]
        process = subprocess.Popen(
            [*command, "--store", self.store],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, stdin: str | None = None) -> tuple[int, str]:
        """Exit status and standard error."""
        process = self.start(*arguments)
        _, errors = process.communicate(stdin, timeout=TIMEOUT_S)
        return process.returncode, errors

    def results(self) -> dict[str, dict[str, Any]]:
        """What ``--results out.jsonl`` wrote, by path."""
        lines = (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return {row["path"]: row for row in map(json.loads, lines)}

    def stop_all(self) -> None:
        """Kill what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate(timeout=TIMEOUT_S)


def worker_processes(pid: int) -> set[int]:
    """Ids of the worker processes of a process: children of the servers that it forks them from."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(place.name)] = int(parent)
    servers = {child for child, parent in parents.items() if parent == pid}
    return {child for child, parent in parents.items() if parent in servers}


def stored(path: Path) -> dict[str, bytes]:
    """Everything in a SQLite store; nothing while there is none."""
    if not path.exists():
        return {}
    with closing(open_reader(path)) as reader:
        try:
            return dict(reader.execute("SELECT id, stream FROM thumb"))
        except sqlite3.OperationalError:  # not set up yet
            return {}
