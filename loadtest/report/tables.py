"""Results as Markdown: one function for each block of the report.

Everything comes from the JSON of a run, including the sentences with figures. Interpretation is
written by hand around the blocks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from loadtest.bench import sizing as bench_sizing
from loadtest.lib import targets
from loadtest.report import client as client_report
from loadtest.report.goals import Goal, Report, Results, goals, number

PLOTS = "performance"
"""The folder of plots next to the document that shows them."""
ENVIRONMENT = {
    "cpus": "{} processors",
    "machine": "{}",
    "python": "Python {}",
    "load": "a load average of {} at the start",
    "scale": "scale {}",
    "load_generator": "load from {}",
    "connections": "{} connections",
    "rounds": "{} rounds",
    "seconds": "{:g} s each",
    "encode_threads": "{} encoding threads",
    "chromium": "Chromium {}",
}
"""Phrases for the facts of a run's environment; other facts are omitted."""


@dataclass(frozen=True)
class Block:
    """A part of a document: the results it needs, the program that makes them, and its Markdown."""

    file: str
    script: str
    text: Callable[[Report], str]

    def render(self, results: Results) -> str:
        """Markdown; without results, the command that measures them."""
        if self.file in results:
            return self.text(results[self.file])
        command = f"python -m loadtest.{self.script} --out loadtest/results/{self.file}.json"
        return f"Not measured yet: `{command}`."


def render(name: str, results: Results) -> str:
    """The block ``name``."""
    return summary(results) if name == SUMMARY else BLOCKS[name].render(results)


def summary(results: Results) -> str:
    """How many targets are met, and a table of the others."""
    found = goals(results)
    missed = [goal for goal in found if not goal.met]
    lines = [f"{len(found) - len(missed)} of {len(found)} targets and limits are met."]
    if missed:
        rows = [[f"[{g.of}](#{g.of})", g.name, number(g.measured), g.target] for g in missed]
        lines += ["Missed:", table(["part", "", "measured", "target"], rows)]
    return "\n\n".join(lines)


def service(report: Report) -> str:
    """Reads, compared with the bare application and the FastAPI route."""
    thumb, fastapi, batch = report["thumb"], report["fastapi"], report["batch"]
    many, during = report["many"], report["during_uploads"]
    rows = [
        ["`GET /thumb/{id}?bytes=64`", *_answers(thumb["measured"])],
        ["alternated with it: a bare ASGI application", *_answers(thumb["yardstick"])],
        ["`GET /thumb/{id}?bytes=64`", *_answers(fastapi["measured"])],
        ["alternated with it: a FastAPI route", *_answers(fastapi["yardstick"])],
        [f"`GET /thumb`, {many['ids']:,} ids in turn", *_answers(many["measured"])],
        ["the second read of each of them", *_answers(report["second"]["measured"])],
        [
            f"during {number(_median('uploads_per_second', during['measured']))} uploads a second",
            *_answers(during["measured"]),
        ],
        [f"`GET /thumbs`, {batch['ids']} ids", *_answers(batch["measured"])],
    ]
    head = ["medians of the rounds", "requests/s", "p50, ms", "p99, ms", "processor time, us"]
    lines = [
        machine(report),
        table(head, rows),
        f"In batches: {number(batch['thumbs_per_second'])} thumbnails a second.",
        _judged({"http": report}, "service"),
    ]
    bare, route = (_cpu(one["yardstick"]) for one in (thumb, fastapi))
    if bare and route and route / bare < targets.FASTAPI_LEAST:
        lines.append(
            f"For a response, the FastAPI route takes {number(route / bare)} times the processor "
            "time of the bare application, so nothing on this server can be "
            f"{targets.FASTAPI_LEAST:g} times as fast as that route."
        )
    return "\n\n".join([*lines, image("service", "Reads compared with their targets")])


def uploads(report: Report) -> str:
    """Uploads, compared with decoding and reducing alone and with other servers."""
    rows = []
    for kind, measured in report["compress"].items():
        plain = report["compress_without_curves"][kind]
        rows += [
            [f"`POST /compress`, {kind}", *_pictures(measured["measured"])],
            ["the same without curves", *_pictures(plain["measured"])],
            ["decoding and reducing alone", *_pictures(measured["yardstick"])],
        ]
    for peer in report["peers"].values():
        name = f"a 32-pixel thumbnail by {peer['version'].replace('==', ' ')}, {peer['pictures']}"
        rows.append([name, *_pictures(peer["yardstick"])])
    head = ["medians of the rounds", "pictures/s", "processor time, ms"]
    lines = [
        machine(report),
        table(head, rows),
        "The steps of an upload in one thread, without HTTP and store, and sharp making a 32-pixel "
        "WebP of the same files:",
        _costs(report["cost"]),
        _judged({"http": report}, "uploads"),
    ]
    alone = _cpu(report["compress"][targets.LARGE]["yardstick"])
    for name, peer in report["peers"].items():
        theirs = _cpu(peer["yardstick"])
        if alone and theirs and theirs / alone < targets.PEER_LEAST:
            lines.append(
                f"{name} takes {number(theirs)} ms of a core for a complete thumbnail; decoding "
                f"and reducing alone take {number(alone)} ms here. If encoding and HTTP took no "
                f"time, uploads would be {number(theirs / alone)} times as fast as {name}."
            )
    return "\n\n".join([*lines, image("uploads", "Uploads compared with their targets")])


def _costs(costs: Report) -> str:
    steps = list(next(iter(costs.values()))["steps"])
    rows = [
        [
            kind,
            *(number(cost["steps"][step]) for step in steps),
            number(cost["upload"]),
            number(cost["sharp"]) if "sharp" in cost else "",
        ]
        for kind, cost in costs.items()
    ]
    return table(["ms of processor time", *steps, "all of it", "sharp"], rows)


def codec(report: Report) -> str:
    """Encoding and decoding in one thread."""
    encode, decode = report["encode_ms"], report["decode_ms"]
    peer = next(name for name in encode if name.startswith("AVIF"))
    rows = [
        [what, number(ms), f"{ms / times[peer]:.1f}"]
        for verb, times in (("encode", encode), ("decode", decode))
        for name, ms in times.items()
        for what in [f"{verb}, {name}"]
    ]
    about = (
        f"{report['pictures']} pictures, long side {report['size']}, `{report['model']}`, one "
        f"thread, medians. {machine(report)}"
    ).rstrip()
    return "\n\n".join([about, table(["", "processor time, ms", f"times {peer}"], rows)])


def client(report: Report) -> str:
    """The browser client, compared with its peers."""
    return "\n\n".join([machine(report), client_report.table(report)])


def client_targets(report: Report) -> str:
    """The browser client's targets."""
    return "\n\n".join(
        [
            _judged({"client": report}, "client"),
            image("client", "The client compared with its targets"),
        ]
    )


def bulk(report: Report) -> str:
    """``compress-all``, compared with decoding and reducing the same files."""
    rows = []
    for kind, measured in report["kinds"].items():
        for name, rate in measured["rates"].items():
            if name.startswith("decode"):
                continue
            what, _, workers = name.rpartition(", ")
            workers = workers.replace("2 process", "2 processes").replace("2 thread", "2 threads")
            spread = f"{rate['lowest']:.2f} to {rate['highest']:.2f}"
            rows.append([f"{kind}, {what}, {workers}", f"{rate['ratio']:.2f}", spread])
    loop = report["loop_alone"]
    million = (
        ("streams and curves, without keys", loop["stream_and_curve_bytes"]),
        ("in SQLite", loop["store_bytes_per_picture"]),
        ("the journal", loop["journal_bytes_per_picture"]),
    )
    head = ["speed relative to decoding and reducing alone, by processor time", "ratio", "rounds"]
    return "\n\n".join(
        [
            f"`{report['model']}`, long side {report['size']}. {machine(report)}".rstrip(),
            table(head, rows),
            table(
                ["size of a million pictures", "MB"],
                [[what, f"{size:,}"] for what, size in million],
            ),
            "The process that writes to the store and to the journal stored "
            f"{number(loop['pictures_per_second'])} pictures in SQLite in a second of processor "
            "time, without encoding.",
        ]
    )


def memory(report: Report) -> str:
    """Resident memory over many uploads."""
    lines = [
        f"{machine(report)} {report['uploads']:,} uploads of different pictures, "
        f"{number(report['per_second'])} a second. Memory was at most "
        f"{number(report['peak_mib'])} MiB.",
        _judged({"memory": report}, "memory"),
        image("memory", "Resident memory over the uploads"),
    ]
    return "\n\n".join(line for line in lines if line)


def scenarios(report: Report) -> str:
    """Each scenario: requests, checks, and the plot over time."""
    parts = [machine(report)]
    for name, result in report["scenarios"].items():
        checks = [
            [check["text"], number(check["value"]), number(check["limit"]), verdict(check["met"])]
            for check in result["checks"]
        ]
        parts += [
            f"### {name.capitalize()}",
            result["about"],
            table(["stage", "requests", "p50, ms", "p99, ms", "answers"], _stages(result)),
            table(["check", "value", "limit", ""], checks),
            image(plot_name(name), f"{name}: latency, rate and memory over time"),
        ]
    return "\n\n".join(parts)


def hostile(report: Report) -> str:
    """What each attack costs the service, before and after the limits on untrusted bytes."""
    before = {row["name"]: row for row in report.get("before", [])}

    def cells(row: Report, no_status: str) -> list[str]:
        values = [f"{row['cpu_seconds']:,}", *(row[key] for key in ("memory_mib", "read_p99_ms"))]
        return [str(row["status"] or no_status), *(f"{value or '-'}" for value in values)]

    def both(row: Report) -> list[str]:
        now = cells(row, "closed")
        if row["name"] not in before:
            return now
        then = cells(before[row["name"]], "none")
        return [f"{was} → {is_now}" for was, is_now in zip(then, now, strict=True)]

    head = ["attack", "bytes", "status", "processor time, s", "memory, MiB", "p99 of reads, ms"]
    rows = [[row["name"], f"{row['bytes']:,}", *both(row)] for row in report["now"]]
    return f"{machine(report)}\n\n{table(head, rows)}"


BLOCKS = {
    "service": Block("http", "bench.http", service),
    "uploads": Block("http", "bench.http --peers FOLDER", uploads),
    "codec": Block("codec", "bench.codec PICTURES", codec),
    "client": Block("client", "bench.client", client),
    "client-targets": Block("client", "bench.client", client_targets),
    "bulk": Block("bulk", "bench.bulk", bulk),
    "memory": Block("memory", "bench.memory", memory),
    "hostile": Block("hostile", "bench.hostile", hostile),
    "sizing": Block("sizing", "bench.sizing", bench_sizing.text),
    "scenarios": Block("scenarios", "scenarios", scenarios),
    "soak": Block("soak", "scenarios soak", scenarios),
}
SUMMARY = "summary"


def machine(report: Report) -> str:
    """The environment of a run, as a sentence."""
    facts = report.get("environment", {})
    phrases = [how.format(facts[key]) for key, how in ENVIRONMENT.items() if key in facts]
    return f"Measured on: {', '.join(phrases)}." if phrases else ""


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def image(name: str, about: str) -> str:
    """A reference to a plot of `loadtest.report.plots`."""
    return f"![{about}]({PLOTS}/{name}.svg)"


def plot_name(scenario: str) -> str:
    """Name of the plot of a scenario."""
    return f"scenario-{scenario.replace(' ', '-')}"


def verdict(met: bool) -> str:
    """Missed targets stand out."""
    return "met" if met else "**MISSED**"


def _judged(results: Results, block: str) -> str:
    """The table of a block's targets."""
    found = [goal for goal in goals(results) if goal.of == block]
    head = ["target", "measured", "by rate", "rounds", "required", ""]
    rows = [[g.name, number(g.measured), *_rounds(g), g.target, verdict(g.met)] for g in found]
    if not any(g.lowest is not None or g.by_rate is not None for g in found):
        head = [*head[:2], *head[4:]]
        rows = [[*row[:2], *row[4:]] for row in rows]
    return table(head, rows) if rows else ""


def _rounds(goal: Goal) -> list[str]:
    spread = "" if goal.lowest is None else f"{number(goal.lowest)} to {number(goal.highest or 0)}"
    return ["" if goal.by_rate is None else number(goal.by_rate), spread]


def _answers(rounds: list[Report]) -> list[str]:
    cpu = _cpu(rounds)
    keys = ("per_second", "p50_ms", "p99_ms")
    return [*(number(_median(key, rounds)) for key in keys), number(1000 * cpu) if cpu else ""]


def _pictures(rounds: list[Report]) -> list[str]:
    cpu = _cpu(rounds)
    return [number(_median("per_second", rounds)), number(cpu) if cpu else ""]


def _cpu(rounds: list[Report]) -> float | None:
    """Median milliseconds of processor time for each response, where the kernel reports it."""
    known = [one["cpu_ms"] for one in rounds if one.get("cpu_ms")]
    return statistics.median(known) if known else None


def _median(key: str, rounds: list[Report]) -> float:
    return float(statistics.median(one[key] for one in rounds))


def _stages(result: Report) -> list[list[str]]:
    return [
        [
            f"{stage['name']} ({stage['seconds']:g} s), {name}s",
            f"{answers['requests']:,}",
            *("" if (ms := answers[key]) is None else number(ms) for key in ("p50_ms", "p99_ms")),
            ", ".join(f"{many:,} x {status}" for status, many in answers["statuses"].items()),
        ]
        for stage in result["stages"]
        for name, answers in stage["names"].items()
    ]
