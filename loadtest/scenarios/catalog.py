"""The scenarios: who asks for what, how long, what goes wrong meanwhile, and what must hold.

Limits compare parts of one run with each other (the second half with the first, a hot key with
spread ones), because milliseconds belong to a machine. What is no matter of speed is absolute: no
request fails, nothing acknowledged is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Result = dict[str, Any]
"""The report of ``users.py``, with what the run observed: ``rss_mb`` (once per
second), ``cache_misses`` (by the service's metrics), ``lost`` (ids), ``recovered_s``."""


@dataclass(frozen=True)
class Stage:
    """A stretch of time. ``keys``: which ids are read: popular ones, one, or each in turn."""

    name: str
    seconds: float
    users: int
    keys: Literal["popular", "one", "each"] = "popular"


@dataclass(frozen=True)
class Check:
    """``value`` of a result must not exceed ``limit``."""

    text: str
    value: Callable[[Result], float]
    limit: float


@dataclass(frozen=True)
class Scenario:
    """One run: ``rate`` requests a second of each user; users beyond ``readers`` upload."""

    name: str
    about: str
    stages: tuple[Stage, ...]
    checks: tuple[Check, ...]
    readers: int = 1_000_000
    rate: float = 20.0
    ids: int = 100
    settings: dict[str, str] = field(default_factory=dict)
    store: Literal["sqlite", "redis"] = "sqlite"
    pictures: Literal["tiny", "megapixel"] = "tiny"
    """What is uploaded: another tiny PNG each time, or the same few JPEGs of one megapixel."""
    fault: tuple[float, float] | None = None
    """The store is killed at the first of these fractions of the run, and started at the second."""

    def scaled(self, factor: float) -> tuple[Stage, ...]:
        """The stages, each ``factor`` times as long."""
        return tuple(
            Stage(stage.name, stage.seconds * factor, stage.users, stage.keys)
            for stage in self.stages
        )


def failures(*allowed: int, names: tuple[str, ...] = ("read", "upload")) -> Check:
    """No answer but successes and the ``allowed`` statuses."""

    def value(result: Result) -> float:
        numbers: list[int] = [
            number
            for stage in result["stages"]
            for name in names
            for status, number in stage["names"].get(name, {}).get("statuses", {}).items()
            if not 200 <= int(status) < 300 and int(status) not in allowed
        ]
        return sum(numbers)

    other = f" other than {', '.join(map(str, allowed))}" if allowed else ""
    return Check(f"failed requests{other}", value, 0)


def ratio(what: str, later: str, earlier: str, limit: float, name: str = "read") -> Check:
    """``what`` (``p50_ms`` or ``p99_ms``) of one stage, relative to that of another."""

    def value(result: Result) -> float:
        stages = {stage["name"]: stage["names"] for stage in result["stages"]}
        return float(stages[later][name][what] / stages[earlier][name][what])

    return Check(f"{what.removesuffix('_ms')} of {name}s, {later} vs. {earlier}", value, limit)


def growth(limit: float) -> Check:
    """Resident memory in the last tenth of the run, relative to that in its second tenth."""

    def value(result: Result) -> float:
        rss = result["rss_mb"]
        tenth = max(1, len(rss) // 10)
        early, late = rss[tenth : 2 * tenth], rss[-tenth:]
        return float((sum(late) / len(late)) / (sum(early) / len(early)))

    return Check("memory at the end vs. the beginning", value, limit)


SCENARIOS = (
    Scenario(
        "steady",
        "Reads of popular thumbnails at a constant rate.",
        (Stage("first half", 30, 20), Stage("second half", 30, 20)),
        (failures(), ratio("p99_ms", "second half", "first half", 2), growth(1.1)),
    ),
    Scenario(
        "spike",
        "Twelve times the readers for ten seconds.",
        (Stage("before", 10, 5), Stage("spike", 10, 60), Stage("after", 15, 5)),
        (failures(), ratio("p50_ms", "after", "before", 2)),
    ),
    Scenario(
        "hot key",
        "All readers request the same picture.",
        (Stage("popular", 15, 20), Stage("one", 15, 20, "one")),
        (
            failures(),
            ratio("p99_ms", "one", "popular", 2),
            Check("cache misses for each id", lambda r: r["cache_misses"] / r["ids"], 1.5),
        ),
    ),
    Scenario(
        "cold cache",
        "Nothing is cached: every read is a read of the store, first alone, then during uploads.",
        (Stage("alone", 15, 10, "each"), Stage("beside uploads", 15, 12, "each")),
        (failures(429), ratio("p50_ms", "beside uploads", "alone", 8)),
        readers=10,
        ids=400,
        settings={"CACHE_BYTES": "0"},
    ),
    Scenario(
        "mixed",
        "Uploads of one megapixel, as fast as the service accepts them, during reads.",
        (Stage("reads", 15, 10), Stage("with uploads", 25, 14)),
        (failures(429), ratio("p50_ms", "with uploads", "reads", 8)),
        readers=10,
        pictures="megapixel",
    ),
    Scenario(
        "faults",
        "Redis is killed and restarted during reads and uploads.",
        (Stage("all", 30, 12),),
        (
            failures(503),
            Check("acknowledged streams lost", lambda r: len(r["lost"]), 0),
            Check("seconds until uploads succeed again", lambda r: r["recovered_s"], 5),
        ),
        readers=10,
        store="redis",
        fault=(0.3, 0.5),
    ),
    Scenario(
        "soak",
        "Twenty minutes of reads and uploads.",
        (Stage("first half", 600, 12), Stage("second half", 600, 12)),
        (failures(429), ratio("p99_ms", "second half", "first half", 1.5), growth(1.15)),
        readers=10,
        rate=10,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
QUICK = tuple(scenario.name for scenario in SCENARIOS if scenario.name != "soak")
