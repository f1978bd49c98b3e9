"""Processor time of the steps of an upload, next to sharp making a thumbnail of the same files.

Both run in one thread, without HTTP and store, round by round in turn.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from loadtest.lib import servers
from thumbstream import images
from thumbstream.codec.rate_curve import measure_curve
from thumbstream.models import installed_models

SCRIPT = Path(__file__).resolve().parent / "sharp_webp.cjs"
STEPS = ("decode and reduce", "encode", "curve")


def measure(
    files: list[bytes], size: int, rounds: int, seconds: float, sharp: Path | None
) -> dict[str, Any]:
    """Milliseconds per picture: of every step in ``steps``, of all in ``upload``, of ``sharp``.

    ``sharp``: the folder of the npm package; None leaves it and the ratio out.
    """
    _steps(files, size, 0)  # opens the model
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(_steps(files, size, seconds))
        if sharp is not None:
            theirs.append(_sharp(files, size, seconds, sharp))
    totals = [sum(one.values()) for one in ours]
    result: dict[str, Any] = {
        "steps": {step: statistics.median(one[step] for one in ours) for step in STEPS},
        "upload": statistics.median(totals),
    }
    if theirs:
        ratios = [mine / other for mine, other in zip(totals, theirs, strict=True)]
        result |= {
            "sharp": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
        }
    return result


def _steps(files: list[bytes], size: int, seconds: float) -> dict[str, float]:
    codec = installed_models("cpu").load()
    spent = dict.fromkeys(STEPS, 0.0)

    end, pictures = time.perf_counter() + seconds, 0
    while pictures < len(files) or time.perf_counter() < end:
        data = files[pictures % len(files)]
        marks = [time.process_time()]
        small = images.thumbnail(data, size, alpha=True)
        marks.append(time.process_time())
        aspect = small.width, small.height
        stream, prefixes = codec.encode_with_decoder(small.pixels, aspect=aspect)
        marks.append(time.process_time())
        measure_curve(prefixes, small.pixels, stream)
        marks.append(time.process_time())
        for step, (before, after) in zip(STEPS, pairwise(marks), strict=True):
            spent[step] += after - before
        pictures += 1
    return {step: 1000 * total / pictures for step, total in spent.items()}


def _sharp(files: list[bytes], size: int, seconds: float, folder: Path) -> float:
    with servers.folder_of(files) as pictures:
        names = [str(pictures / f"{i}.jpg") for i in range(len(files))]
        done = subprocess.run(  # noqa: S603 - our own script
            ["node", str(SCRIPT), str(folder.resolve()), str(size), str(seconds), *names],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 120,
        )
    return float(json.loads(done.stdout)["cpu_ms"])
