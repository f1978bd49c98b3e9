"""Finds words and habits that make this code hard to read, in every tracked text file.

    python .ci/check_words.py [FILE ...]

The list is short and mechanical: each pattern stood for a standard term that readers know (see the
glossary in docs/architecture.md). A line that uses such a word in its ordinary sense ends in a
comment with ``words: ok``. Exit status 1 if anything is found.
"""

# ruff: noqa: E501 (patterns)

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SUFFIXES = {
    ".py",
    ".js",
    ".mjs",
    ".ts",
    ".md",
    ".html",
    ".css",
    ".toml",
    ".yml",
    ".conf",
    ".sh",
    ".c",
}
SKIPPED = re.compile(
    r"\.min\.js$|^CHANGELOG\.md$|^LICENSE|^\.ci/check_words\.py$|constraints\.txt$"
)
ESCAPE = "words: ok"

_PEOPLE = (
    "asks|waits|needs|lacks|holds|reads|knows|wants|has|is|was|gets|fills|comes|goes|took|asked"
)
RULES = {
    r"\bchances?\b": "probability",
    r"\b(nobody|everybody|somebody)\b": "name the component",
    r"\b(told|untold)\b": "says, reports, is recorded",
    r"\b(un)?asked (for|it|of|after|by)\b": "requested",
    r"\bso many\b": "a count",
    r"\bunder way\b": "in flight, running",
    r"\b(behind|beside|ahead of) (it|them|him)\b": "after, next to, before",
    r"\bpatien(ce|t|tly)\b": "timeout",
    r"\b(doorkeeper|turned away|lets? in)\b": "authenticate, reject",
    rf"\bby who\b|\bto who\b|\bwho (?:{_PEOPLE})\b(?=[^.?!]*\b(?:byte|stream|lock|read|batch|cache|value|slot)s?\b)": "name the component",
    r"(?<!there )\b(is|are) no (int|size|number|picture|list|stream|model|network|table|url|id|weights)s?\b": "expected X, got Y",
    r"\b(that|which) (is|are) none\b": "invalid",
    r"\bas good as none\b|\bhas had enough\b|\bfor the want of\b": "plain English",
    r"^class (Asked|Wanted|Drawn|Kept|Told|Made|Found|Ready|Sought|Shown|Chances|Nesting|Tally)\b": "a noun of the field",
    r"\bdef test_\w*(nobody|everybody|_told|_who_|so_many|_none_is|that_is_none|under_way)": "say what must hold",
}  # fmt: skip
PATTERNS = [(re.compile(pattern, re.IGNORECASE), advice) for pattern, advice in RULES.items()]


def tracked() -> list[Path]:
    """Text files that git tracks."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.splitlines()]


def findings(path: Path) -> list[str]:
    """``path:line: word: advice`` for each finding in a file."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if ESCAPE in line:
            continue
        for pattern, advice in PATTERNS:
            if match := pattern.search(line):
                found.append(f"{path}:{number}: {match[0]!r}: {advice}")
    return found


def main(arguments: list[str]) -> int:
    """Check the files named, or all tracked ones; returns the exit status."""
    paths = [Path(name) for name in arguments] or [
        path
        for path in tracked()
        if path.suffix in SUFFIXES and not SKIPPED.search(path.as_posix()) and path.exists()
    ]
    found = [line for path in paths for line in findings(path)]
    print("\n".join(found) if found else f"{len(paths)} files in plain words")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
