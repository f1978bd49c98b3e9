"""Runs wrk, a load generator written in C, and reads what it prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


CYCLE = """local requests, i = {{}}, 0
init = function(args)
  for path in io.lines({paths!r}) do requests[#requests + 1] = wrk.format("GET", path) end
end
request = function()
  i = i % #requests + 1
  return requests[i]
end
"""
"""A script of wrk that requests the paths in the lines of a file, in turn."""


def run(
    program: str, url: str, connections: int, seconds: int, script: Path | None = None
) -> dict[str, Any]:
    """Load ``url`` from one thread; requests/s and latencies in ms.

    ``script``: a script in Lua that replaces the path of ``url``. Raises `RuntimeError` if any
    answer was an error.
    """
    done = subprocess.run(  # noqa: S603 - a program of the user's own PATH
        [
            program,
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--latency",
            "--timeout=30s",  # a busy machine is slow, which is no error
            *(["-s", str(script)] if script else []),
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    return parse(done.stdout)


def parse(report: str) -> dict[str, Any]:
    """Read the report of wrk 4."""
    trouble = re.search(r"(Non-2xx or 3xx responses|Socket errors):.*", report)
    if trouble:
        raise RuntimeError(f"wrk: {trouble[0]}")
    return {
        "requests": int(_find(r"(\d+) requests in", report)[1]),
        "per_second": float(_find(r"Requests/sec:\s+([\d.]+)", report)[1]),
        "p50_ms": _latency("50", report),
        "p99_ms": _latency("99", report),
    }


def _latency(percentile: str, report: str) -> float:
    match = _find(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", report)
    return float(match[1]) * _MILLISECONDS[match[2]]


def _find(pattern: str, report: str) -> re.Match[str]:
    match = re.search(pattern, report, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"wrk printed no {pattern}:\n{report}")
    return match
