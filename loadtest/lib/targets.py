"""What the service is meant to reach, as ratios within one run, and whether it did."""

from __future__ import annotations

import statistics
from typing import Any

LARGE = "12 megapixel JPEG"
BARE_LEAST = 0.70
"""`GET /thumb` beside a bare ASGI application, requests a second."""
FASTAPI_LEAST = 5.0
"""Beside a route of FastAPI that does the same."""
P99_MOST = 3.0
"""Times the bare application's 99th percentile."""
BATCH_LEAST = 200_000 / 25_000
"""Thumbnails a second in batches of 50, beside requests a second of the bare application."""
COMPRESS_LEAST = 0.70
"""Uploads of 12 megapixels a second, beside decoding and reducing alone."""
PEER_LEAST = 2.0
"""Beside other image servers."""


def judged(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target: ``name``, ``measured``, ``target``, ``met``, and ``by_cpu`` where known."""
    thumb, batch = report["thumb"], report["batch"]
    bare = thumb["yardstick"]
    p99 = _median("p99_ms", thumb["measured"]) / _median("p99_ms", bare)
    many = batch["thumbs_per_second"] / _median("per_second", bare)
    return [
        _least("GET /thumb / bare ASGI", thumb, BARE_LEAST),
        _least("GET /thumb / FastAPI route", report["fastapi"], FASTAPI_LEAST),
        {
            "name": "p99 of GET /thumb / bare ASGI's",
            "measured": p99,
            "target": f"< {P99_MOST:g}",
            "met": p99 < P99_MOST,
        },
        _least("thumbs/s in batches / bare ASGI's requests/s", {"ratio": many}, BATCH_LEAST),
        _least(
            f"POST /compress / decode and reduce, {LARGE}",
            report["compress"][LARGE],
            COMPRESS_LEAST,
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
        + (f"  by processor time {one['by_cpu']:.2f}" if "by_cpu" in one else "")
        for one in targets
    )


def _least(name: str, result: dict[str, Any], least: float) -> dict[str, Any]:
    """``by_cpu`` of the row: the same ratio by processor time, where it is known."""
    ratio = float(result["ratio"])
    row = {"name": name, "measured": ratio, "target": f">= {least:g}", "met": ratio >= least}
    return {**row, "by_cpu": result["cpu_ratio"]} if "cpu_ratio" in result else row


def _median(key: str, rounds: list[dict[str, Any]]) -> float:
    return float(statistics.median(one[key] for one in rounds))
