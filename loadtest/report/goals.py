"""Every target of every benchmark in one shape, so that tables and plots treat them alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtest.lib import targets

Report = dict[str, Any]
"""What one file in ``results/`` holds."""
Results = dict[str, Report]
"""By the name of the file, without its ending; files that are missing are missing."""


@dataclass(frozen=True)
class Goal:
    """``measured`` is to be at least (or, unless ``least``, at most) ``bound``."""

    of: str
    """The block of the report that it belongs to: ``service``, ``uploads``, ``client``, ..."""
    name: str
    measured: float
    bound: float
    least: bool
    met: bool
    lowest: float | None = None
    highest: float | None = None
    """Over the rounds of the run, where they are known; of rates if `by_rate` is given."""
    by_rate: float | None = None
    """The same ratio by requests a second, if ``measured`` is one of processor times."""

    @property
    def target(self) -> str:
        """In words."""
        return f"at {'least' if self.least else 'most'} {number(self.bound)}"


def goals(results: Results) -> list[Goal]:
    """All of them, in the order of the report."""
    return [
        *_http(results.get("http", {})),
        *_client(results.get("client", {})),
        *_memory(results.get("memory", {})),
        *_scenarios(results.get("scenarios", {}), "scenarios"),
        *_scenarios(results.get("soak", {}), "soak"),
    ]


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _http(report: Report) -> Iterator[Goal]:
    rounds = _rounds(report) if report else {}
    for target in report.get("targets", []):
        sign, bound = target["target"].split()
        measured = rounds.get(target["name"], {})
        yield Goal(
            of="uploads" if target["name"].startswith("POST") else "service",
            name=target["name"],
            measured=target["measured"],
            bound=float(bound),
            least=sign == ">=",
            met=target["met"],
            lowest=measured.get("ratio_lowest"),
            highest=measured.get("ratio_highest"),
            by_rate=target.get("by_rate"),
        )


def _rounds(report: Report) -> dict[str, Report]:
    """Where the rounds of a target are, by its name (see ``targets.py``)."""
    found = {
        "GET /thumb / bare ASGI": report["thumb"],
        "GET /thumb / FastAPI route": report["fastapi"],
        "GET /thumb of 10,000 ids / bare ASGI": report["many"],
        "the second read of each of them / bare ASGI": report["second"],
        "GET /thumb during uploads / alone": report["during_uploads"],
    }
    for kind, cost in report["cost"].items():
        found[f"{targets.SHARP}, {kind}"] = cost
    for kind, measured in report["compress"].items():
        found[f"POST /compress / decode and reduce, {kind}"] = measured
    for peer, measured in report["peers"].items():
        found[f"POST /compress / {peer}'s thumbnail, {measured['pictures']}"] = measured
    return found


def _client(report: Report) -> Iterator[Goal]:
    for name, target in report.get("targets", {}).items():
        yield _most("client", name, target["measured"], target["most"], target["met"])


def _memory(report: Report) -> Iterator[Goal]:
    if report and report["grown"] is not None:
        name = f"MiB grown over {report['uploads']:,} uploads, the first fifth left out"
        yield _most("memory", name, report["grown"], report["target_mib"], report["met"])


def _scenarios(report: Report, block: str) -> Iterator[Goal]:
    for name, result in report.get("scenarios", {}).items():
        for check in result["checks"]:
            text = f"{name}: {check['text']}"
            yield _most(block, text, check["value"], check["limit"], check["met"])


def _most(block: str, name: str, measured: float, bound: float, met: bool) -> Goal:
    return Goal(of=block, name=name, measured=measured, bound=bound, least=False, met=met)
