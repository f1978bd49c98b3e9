"""What the service is meant to reach, as ratios within one run, and whether it did.

Ratios are of processor time per request where the kernel reports it: other programs on the machine
change requests a second a lot, and this hardly.
"""

from __future__ import annotations

import statistics
from typing import Any

from loadtest.lib import uploads

SHARP = "POST: processor time without HTTP / sharp's 32-pixel WebP"
SMALL, LARGE = "1 megapixel JPEG", "12 megapixel JPEG"
BARE_LEAST = 0.75
"""`GET /thumb` next to a bare ASGI application: one id, and 10,000."""
SECOND_LEAST = 0.6
"""The second read of each of 10,000 ids."""
DURING_LEAST = 0.8
"""Reads a second during uploads, next to reads alone."""
DURING_P99_MOST = 2.0
"""99th percentile of reads during uploads, next to that of reads alone."""
SHARP_MOST = 1.3
"""Processor time of an upload next to that of sharp making a 32-pixel WebP."""
FASTAPI_LEAST = 5.0
"""Beside a route of FastAPI that does the same."""
P99_MOST = 3.0
"""Times the bare application's 99th percentile."""
BATCH_LEAST = 200_000 / 25_000
"""Thumbnails a second in batches of 50, beside requests a second of the bare application."""
COMPRESS_LEAST = 0.70
"""Uploads of 12 megapixels, next to decoding and reducing alone."""
PEER_LEAST = 2.0
"""Beside other image servers."""


def judged(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target: ``name``, ``measured``, ``target``, ``met``; ``by_rate`` as `_least` says."""
    thumb, batch = report["thumb"], report["batch"]
    bare = thumb["yardstick"]
    p99 = _median("p99_ms", thumb["measured"]) / _median("p99_ms", bare)
    many = batch["thumbs_per_second"] / _median("per_second", bare)
    during = report["during_uploads"]
    during_p99 = _median("p99_ms", during["measured"]) / _median("p99_ms", during["yardstick"])
    return [
        _least("GET /thumb / bare ASGI", thumb, BARE_LEAST),
        _least("GET /thumb / FastAPI route", report["fastapi"], FASTAPI_LEAST),
        _least("GET /thumb of 10,000 ids / bare ASGI", report["many"], BARE_LEAST),
        _least("the second read of each of them / bare ASGI", report["second"], SECOND_LEAST),
        _most("p99 of GET /thumb / bare ASGI's", p99, P99_MOST),
        _least("GET /thumb during uploads / alone", during, DURING_LEAST, of_time=False),
        _most("p99 of GET /thumb during uploads / alone", during_p99, DURING_P99_MOST),
        _least("thumbs/s in batches / bare ASGI's requests/s", {"ratio": many}, BATCH_LEAST),
        _least(
            f"POST /compress / decode and reduce, {LARGE}",
            report["compress"][LARGE],
            COMPRESS_LEAST,
        ),
        *(
            _most(f"{SHARP}, {kind}", cost["ratio"], SHARP_MOST)
            for kind, cost in report["cost"].items()
            if "ratio" in cost and kind in uploads.SIZES
        ),
        *(
            _least(f"POST /compress / {name}'s thumbnail, {LARGE}", peer, PEER_LEAST)
            for name, peer in report["peers"].items()
        ),
    ]


def text(targets: list[dict[str, Any]]) -> str:
    """A table for a terminal."""
    return "\n".join(
        f"{one['name']:<55} {one['measured']:6.2f}  target {one['target']:>6}  "
        f"{'met' if one['met'] else 'missed':<6}"
        + (f"  by rate {one['by_rate']:.2f}" if "by_rate" in one else "")
        for one in targets
    )


def _least(
    name: str, result: dict[str, Any], least: float, *, of_time: bool = True
) -> dict[str, Any]:
    """A ratio of processor times if ``of_time`` and they are known, else of rates.

    ``by_rate`` of the row is the ratio of rates if the other one is compared with the target.
    """
    rate = float(result["ratio"])
    time = float(result.get("cpu_ratio", rate)) if of_time else rate
    row = {"name": name, "measured": time, "target": f">= {least:g}", "met": time >= least}
    return {**row, "by_rate": rate} if of_time and "cpu_ratio" in result else row


def _most(name: str, measured: float, most: float) -> dict[str, Any]:
    return {
        "name": name,
        "measured": measured,
        "target": f"< {most:g}",
        "met": measured < most,
    }


def _median(key: str, rounds: list[dict[str, Any]]) -> float:
    return float(statistics.median(one[key] for one in rounds))
