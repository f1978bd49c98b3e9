"""Coverage-guided fuzzing: inputs that reach new code are kept and mutated further.

    python tests/fuzz/fuzz_guided.py --seconds 600            every target, so long each
    python tests/fuzz/fuzz_guided.py ingest --seconds 3600    one of them
    python tests/fuzz/fuzz_guided.py --write-seeds            make the committed seeds again

The engine is Google's atheris: libFuzzer with the coverage of Python's own bytecode, kept well, and
the only engine of the kind whose corpora are plain files that any other tool reads. It sees the
service's code and Pillow's Python; inside Pillow's C libraries it is as blind as any mutator.

Each target has a process of its own; its corpus is the committed one in ``corpus/TARGET`` and what
was found since in ``build/fuzz/TARGET``. An input that breaks the invariant, takes longer than
`SLOWEST`, more processor time than `MAX_CPU_SECONDS` or more memory than `MOST_MEMORY` stops it,
and is kept there as well: put it into the committed corpus once it is mended, and every run of the
tests tries it again.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
FOUND = ROOT / "build" / "fuzz"

TARGETS = {
    "ingest": "fuzz_ingest",
    "streams": "fuzz_decoding",
    "requests": "fuzz_requests",
    "curves": "fuzz_curves",
}
"""Name to module; each has `check`, `mended`, `seeds`, `LONGEST` and `WORDS`."""

INSTRUMENTED = ["thumbstream", "PIL"]
SLOWEST = 20
"""Seconds for one input: a thousand times the slowest known one; more counts as endless."""
MAX_CPU_SECONDS = 2.0
"""Processor seconds for one input, a hundred times the slowest known one."""
MOST_MEMORY = 2048
"""MiB that the process may hold."""
START_SECONDS = 120
"""To import, open models and read the corpus, on top of ``--seconds``."""

_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


class CostError(Exception):
    """An input took too much processor time, which is a failure like a wrong result."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of fuzzing one target."""

    target: str
    inputs: int
    edges: int
    """Of the code, reached by the corpus."""
    failed: bool
    log: Path


def target_module(name: str) -> ModuleType:
    """The module of a target."""
    sys.path[:0] = [str(path) for path in (HERE, ROOT / "service") if str(path) not in sys.path]
    return importlib.import_module(TARGETS[name])


def check_with_cost(target: ModuleType, data: bytes) -> bool:
    """``target.check``; raises `CostError` if it takes more than `MAX_CPU_SECONDS`."""
    begun = time.process_time()
    accepted: bool = target.check(data)
    seconds = time.process_time() - begun
    if seconds > MAX_CPU_SECONDS:
        raise CostError(f"{seconds:.1f} seconds of processor time for {len(data)} bytes")
    return accepted


def fuzz(name: str, seconds: int, seed: int) -> NoReturn:
    """Fuzz one target in this process, which ends with it."""
    import atheris  # here: the tests replay the corpus where no wheel of it fits

    with atheris.instrument_imports(include=INSTRUMENTED):
        target = target_module(name)

    def one_input(data: bytes) -> None:
        check_with_cost(target, data)

    def mutate(data: bytes, most: int, _seed: int) -> bytes:
        return bytes(target.mended(atheris.Mutate(data, most)))[:most]

    found = FOUND / name
    words = found.with_suffix(".dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    options = {
        "max_total_time": seconds,
        "max_len": target.LONGEST,
        "timeout": SLOWEST,
        "rss_limit_mb": MOST_MEMORY,
        "seed": seed,
        "dict": words,
        "artifact_prefix": f"{found}/failed-",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    # libFuzzer writes what is new into the first folder.
    atheris.Setup(
        [sys.argv[0], *arguments, str(found), str(CORPUS / name)],
        one_input,
        custom_mutator=mutate,
    )
    atheris.Fuzz()
    raise SystemExit(0)


def run(name: str, seconds: int, seed: int) -> Outcome:
    """Fuzz one target in a process of its own."""
    (FOUND / name).mkdir(parents=True, exist_ok=True)
    log = FOUND / f"{name}.log"
    command = [sys.executable, __file__, name, "--here"]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    with log.open("wb") as out:
        ended = subprocess.run(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=seconds + START_SECONDS,
            check=False,
        )
    statuses = _STATUS.findall(log.read_text(errors="replace"))
    inputs, edges, _ = map(int, statuses[-1]) if statuses else (0, 0, 0)
    return Outcome(name, inputs, edges, ended.returncode != 0 or not inputs, log)


def write_seeds() -> None:
    """Write the seeds of every target into the committed corpus; other files stay."""
    for name in TARGETS:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, data in target_module(name).seeds():
            (folder / seed).write_bytes(data)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main() -> int:
    """Command line; 1 when a target failed."""
    parser = argparse.ArgumentParser(description="Fuzz with coverage as the guide.")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--write-seeds", action="store_true", help="make the committed seeds again")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if args.write_seeds:
        write_seeds()
        return 0
    if args.here:
        fuzz(args.targets[0], args.seconds, args.seed)
    failed = False
    with ThreadPoolExecutor(args.jobs) as pool:
        names = args.targets or list(TARGETS)
        for outcome in pool.map(lambda name: run(name, args.seconds, args.seed), names):
            print(f"{outcome.target}: {outcome.inputs} inputs, {outcome.edges} edges", end="")
            print(f", FAILED: {outcome.log}" if outcome.failed else ", no failure", flush=True)
            if outcome.failed:
                failed = True
                print(outcome.log.read_text(errors="replace")[-4000:], file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
