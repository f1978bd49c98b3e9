"""What the simulated users of a scenario do: Locust's file, run by ``__main__.py``.

    locust -f loadtest/scenarios/users.py --headless --plan plan.json --report report.json --host http://...

The plan is what `loadtest.scenarios.__main__.run` writes as JSON. The same seed gives the same
order of ids, prefix sizes and pictures to the same user; when a request is sent depends on the
machine.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from itertools import accumulate, count
from pathlib import Path
from statistics import quantiles
from time import time
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.env import Environment

from loadtest.lib import uploads

PREFIX_SIZES = (16, 32, 64, 128)
BINS = 120
"""About as many points as a plot of a run is to have; none is shorter than a second."""

plan: dict[str, Any] = {}
asked: list[tuple[float, str, float, int]] = []
"""Every request: seconds since the start, name, milliseconds, status (0: no answer)."""
acknowledged: list[str] = []
"""Ids that uploads were answered with."""
began: list[float] = []
"""When the run began, as `time.time`."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _arguments(parser: Any) -> None:
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    plan.update(json.loads(_option(environment, "plan").read_text(encoding="utf-8")))
    User.wait_time = constant_throughput(plan["rate"])


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    began.append(time())


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _end(environment: Environment, **_: Any) -> None:
    stages, start = [], 0.0
    for stage in plan["stages"]:
        end = start + stage["seconds"]
        # The first tenth of a stage belongs to the change, not to the stage.
        inside = _by_name(start + 0.1 * (end - start), end)
        stages.append({"name": stage["name"], "seconds": stage["seconds"], "names": inside})
        start = end
    step = max(1, round(start / BINS))
    report = {
        "stages": stages,
        "bin_s": step,
        "bins": [_by_name(at, at + step) for at in range(0, int(start), step)],
        "began": began[0],
        "acknowledged": acknowledged,
        "uploaded_at": [
            at + ms / 1000
            for at, name, ms, status in asked
            if name == "upload" and 200 <= status < 300
        ],
    }
    _option(environment, "report").write_text(json.dumps(report), encoding="utf-8")


def _option(environment: Environment, name: str) -> Path:
    path: Path = getattr(environment.parsed_options, name)
    return path


def _by_name(start: float, end: float) -> dict[str, Any]:
    """What happened to the requests of each name that began between two seconds of the run."""
    asked.sort()  # nearly sorted: they are noted in the order of their ends
    inside = asked[bisect_left(asked, (start,)) : bisect_left(asked, (end,))]
    names = sorted({one[1] for one in inside})
    return {name: _told([one for one in inside if one[1] == name]) for name in names}


def _told(requests: list[tuple[float, str, float, int]]) -> dict[str, Any]:
    times = sorted(one[2] for one in requests if 200 <= one[3] < 300)
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    statuses = [one[3] for one in requests]
    return {
        "requests": len(requests),
        "statuses": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        "p50_ms": round(cuts[49], 3) if cuts else None,
        "p99_ms": round(cuts[98], 3) if cuts else None,
    }


class Stages(LoadTestShape):
    """As many users as the stage of the moment wants, at once."""

    def tick(self) -> tuple[int, float] | None:
        """(users, users started a second), or None at the end."""
        ends = accumulate(stage["seconds"] for stage in plan["stages"])
        now = self.get_run_time()  # type: ignore[no-untyped-call]
        for stage, end in zip(plan["stages"], ends, strict=True):
            if now < end:
                return stage["users"], 100.0
        return None


_numbers = count()


class User(FastHttpUser):
    """Reads prefixes, or uploads pictures if its number is beyond those of the readers."""

    connection_timeout = network_timeout = 10.0

    def on_start(self) -> None:
        """Takes a number, and with it a sequence of choices."""
        self.number = next(_numbers)
        self.random = random.Random(f"{plan['seed']} {self.number}")  # noqa: S311 - no secret
        self.order = count(1 + self.number * 1_000_003)
        weights = [1 / rank for rank in range(1, len(plan["ids"]) + 1)]
        self.weights = list(accumulate(weights))

    @task
    def act(self) -> None:
        """One request."""
        if self.number < plan["readers"]:
            path = f"/t/{self._key()}/{self.random.choice(PREFIX_SIZES)}"
            self._ask("read", "GET", path)
        else:
            pictures = plan["pictures"]
            made = self.random.choice(pictures) if pictures else None
            body = Path(made).read_bytes() if made else uploads.tiny(next(self.order))
            self._ask("upload", "POST", "/compress", body)

    def _key(self) -> str:
        stage = self._stage()
        ids: list[str] = plan["ids"]
        if stage["keys"] == "one":
            return ids[0]
        if stage["keys"] == "each":
            return ids[next(self.order) % len(ids)]
        return self.random.choices(ids, cum_weights=self.weights)[0]

    def _stage(self) -> dict[str, Any]:
        now, end = _now(self.environment), 0.0
        for stage in plan["stages"]:
            end += stage["seconds"]
            if now < end:
                break
        return dict(stage)

    def _ask(self, name: str, method: str, path: str, body: bytes | None = None) -> None:
        at = _now(self.environment)
        headers = {"Content-Type": "image/jpeg"} if body else {}
        # Bytes are sent as they are, although the types of Locust do not say so.
        data: Any = body
        with self.client.request(
            method, path, data=data, headers=headers, name=name, catch_response=True
        ) as answer:
            answer.success()  # statuses are judged by the scenario
            status = answer.status_code or 0
            asked.append((at, name, answer.request_meta["response_time"], status))
            if name == "upload" and status in (200, 201):
                acknowledged.append(answer.json()["id"])


def _now(environment: Environment) -> float:
    shape = environment.shape_class
    return float(shape.get_run_time()) if shape else 0.0  # type: ignore[no-untyped-call]
