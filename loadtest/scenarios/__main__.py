"""Run the scenarios of ``catalog.py`` against the real service, and judge them.

    python -m loadtest.scenarios                     all but the soak, a few minutes
    python -m loadtest.scenarios soak --out loadtest/results/soak.json
    python -m loadtest.scenarios --scale 0.1         a look, as in the tests

Every scenario starts a service, and a store, of its own on loopback. The exit status is 1 when a
limit is exceeded. Locust (a well-kept load generator, in the extra ``load``) plays the users.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))  # the Redis server of the tests

from redis_servers import RedisServer

from loadtest.lib import servers, uploads
from loadtest.scenarios.catalog import BY_NAME, QUICK, Result, Scenario

SEED = 1511
USERS = Path(__file__).resolve().parent / "users.py"
MEGAPIXELS = 4
"""Different pictures of one megapixel."""


def main(argv: list[str] | None = None) -> int:
    """Run, print and judge the scenarios; returns the exit status."""
    args = _arguments().parse_args(argv)
    report: dict[str, Any] = {"environment": _environment(args.scale), "scenarios": {}}
    for name in args.names or QUICK:
        with tempfile.TemporaryDirectory() as folder:
            result = run(BY_NAME[name], Path(folder), args.scale)
        report["scenarios"][name] = result
        print(_text(name, result), flush=True)
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    checks = [check for one in report["scenarios"].values() for check in one["checks"]]
    return 0 if all(check["met"] for check in checks) else 1


def run(scenario: Scenario, folder: Path, scale: float) -> Result:
    """One scenario, ``scale`` times as long as it is written: what happened, and its checks."""
    stages = scenario.scaled(scale)
    seconds = sum(stage.seconds for stage in stages)
    with _store(scenario, folder) as (url, store):
        settings = {"STORE": url, **scenario.settings}
        with servers.serving(servers.SERVICE, settings, "/readyz") as port:
            plan = {
                "seed": SEED,
                "rate": scenario.rate,
                "readers": scenario.readers,
                "ids": [_upload(port, uploads.tiny(10**9 + n)) for n in range(scenario.ids)],
                "stages": [asdict(stage) for stage in stages],
                "pictures": _pictures(scenario, folder),
            }
            before = _misses(port)
            with _watched(port) as rss, _faulty(scenario, store, seconds) as fault:
                result = _play(plan, port, folder, seconds)
            result |= {
                "about": scenario.about,
                "ids": scenario.ids,
                "rss_mb": rss,
                "cache_misses": _misses(port) - before,
                "lost": [key for key in result["acknowledged"] if not _there(port, key)],
            }
            if fault:
                result["recovered_s"] = _recovered(result, fault[1])
                result["fault_s"] = [round(at - result["began"], 2) for at in fault]
    result["acknowledged"] = len(result["acknowledged"])
    for name in ("began", "uploaded_at"):
        del result[name]
    result["checks"] = [
        {"text": check.text, "value": round(value, 3), "limit": check.limit,
         "met": value <= check.limit}
        for check in scenario.checks
        for value in [check.value(result)]
    ]  # fmt: skip
    return result


def _play(plan: dict[str, Any], port: int, folder: Path, seconds: float) -> Result:
    plan_file, report = folder / "plan.json", folder / "report.json"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--only-summary"]
    command += [
        "--plan",
        str(plan_file),
        "--report",
        str(report),
        "--host",
        f"http://127.0.0.1:{port}",
    ]
    done = subprocess.run(  # noqa: S603 - our own file
        [*command, "--loglevel", "WARNING"],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    if not report.exists():
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    result: Result = json.loads(report.read_text(encoding="utf-8"))
    return result


@contextmanager
def _store(scenario: Scenario, folder: Path) -> Iterator[tuple[str, Any]]:
    if scenario.store == "sqlite":
        yield f"sqlite:///{folder / 'streams.db'}", None
        return
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    store = RedisServer(folder, options=durable)
    store.start()
    try:
        yield store.url, store
    finally:
        store.stop()


@contextmanager
def _watched(port: int) -> Iterator[list[float]]:
    """Resident memory (MB) of the process that listens on a port, once a second."""
    listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    process = psutil.Process(next(c.pid for c in listening if c.laddr.port == port))
    rss: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            rss.append(round(process.memory_info().rss / 2**20, 1))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield rss
    finally:
        ended.set()
        thread.join()


@contextmanager
def _faulty(scenario: Scenario, store: Any, seconds: float) -> Iterator[list[float]]:
    """Kills and starts the store; yields a list that gets the times of both."""
    happened: list[float] = []
    if scenario.fault is None:
        yield happened
        return
    down, up = (fraction * seconds for fraction in scenario.fault)

    def disturb() -> None:
        time.sleep(down)
        happened.append(time.time())
        store.stop()  # as a crash does
        time.sleep(up - down)
        store.start()
        happened.append(time.time())

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield happened
    finally:
        thread.join()


def _recovered(result: Result, restarted: float) -> float:
    """Seconds from the store's restart to the first upload that succeeded after it."""
    after = (result["began"] + at - restarted for at in result["uploaded_at"])
    return round(min((seconds for seconds in after if seconds > 0), default=float("inf")), 2)


def _upload(port: int, data: bytes) -> str:
    status, _, body = servers.request(port, "POST", "/compress", data)
    if status not in (200, 201):
        raise RuntimeError(f"POST /compress answered {status}: {body[:500]!r}")
    return str(json.loads(body)["id"])


def _there(port: int, key: str) -> bool:
    status, _, _ = servers.request(port, "GET", f"/thumb/{key}")
    return status == 200


def _misses(port: int) -> float:
    _, _, body = servers.request(port, "GET", "/metrics")
    lines = body.decode().splitlines()
    name = "thumbstream_cache_misses_total "
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def _pictures(scenario: Scenario, folder: Path) -> list[str]:
    if scenario.pictures == "tiny":
        return []
    paths = [folder / f"{n}.jpg" for n in range(MEGAPIXELS)]
    for n, path in enumerate(paths):
        path.write_bytes(uploads.synthetic(1200, 840, n))
    return [str(path) for path in paths]


def _text(name: str, result: Result) -> str:
    lines = [f"{name}: {result['about']}"]
    for stage in result["stages"]:
        for kind, counts in stage["names"].items():
            lines.append(
                f"  {stage['name']}: {counts['requests']} {kind}s {counts['statuses']}, "
                f"p50 {counts['p50_ms']} ms, p99 {counts['p99_ms']} ms"
            )
    lines += [
        f"  {'met   ' if check['met'] else 'MISSED'} {check['text']}: {check['value']:g} "
        f"(at most {check['limit']:g})"
        for check in result["checks"]
    ]
    return "\n".join(lines)


def _environment(scale: float) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),  # of others, before the run
        "scale": scale,
        "seed": SEED,
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.scenarios", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--scale", type=float, default=1, help="of all times (default 1)")
    parser.add_argument("--out", type=Path, help="write what happened to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
