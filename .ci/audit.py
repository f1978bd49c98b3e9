"""Known vulnerabilities of the pinned packages; an unreachable database is not a pass.

    python .ci/audit.py constraints.txt

The tool is pip-audit of the Python Packaging Authority, with the index's advisories or OSV. An
empty answer looks like a clean one, so the database must first know `CANARY`, an old release with
a famous vulnerability.

Exit status: 0 if all packages were audited and none is vulnerable, 1 if one is, 3 if the database
could not be reached or does not know all packages. With ``--unreachable FILE`` the last case is
written to FILE and is 0, for callers that report it themselves.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANARY = "jinja2==2.10"
"""A sandbox escape (CVE-2019-10906)."""

DATABASES = ("pypi", "osv")
"""By pip-audit's names, in the order in which they are asked."""

SECONDS = 300
"""For one database to answer."""

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3

Ask = Callable[[Path, str], "dict[str, Any] | None"]
"""Requirements and a database to pip-audit's report; None where it gave none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it, for people and as an exit status."""

    status: int
    text: str


def ask(requirements: Path, database: str) -> dict[str, Any] | None:
    """pip-audit's report on pinned requirements, exactly as they are."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements)]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command += ["--vulnerability-service", database]
    try:
        ended = subprocess.run(  # noqa: S603 (our own interpreter, our own arguments)
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        report: dict[str, Any] = json.loads(ended.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return report


def audit(requirements: Path, ask: Ask = ask) -> Verdict:
    """The verdict of the first database that knows of the canary."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(CANARY + "\n")
        for database in DATABASES:
            known = ask(canary, database)
            if known is not None and _vulnerable(known):
                return judge(ask(requirements, database), database)
    tried = " nor ".join(DATABASES)
    return Verdict(NOT_AUDITED, f"NOT AUDITED: neither {tried} could tell of {CANARY}.")


def judge(report: dict[str, Any] | None, database: str) -> Verdict:
    """The verdict on a report of a database that can be asked."""
    if report is None:
        return Verdict(NOT_AUDITED, f"NOT AUDITED: {database} gave no report.")
    if found := _vulnerable(report):
        return Verdict(VULNERABLE, "Known vulnerabilities:\n" + "\n".join(found))
    packages = report["dependencies"]
    if skipped := [package["name"] for package in packages if "skip_reason" in package]:
        return Verdict(NOT_AUDITED, f"NOT AUDITED: {database} does not know {', '.join(skipped)}.")
    if not packages:
        return Verdict(NOT_AUDITED, "NOT AUDITED: no packages were named.")
    return Verdict(CLEAN, f"{len(packages)} packages audited ({database}): nothing is known.")


def _vulnerable(report: dict[str, Any]) -> list[str]:
    return [
        f"  {package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no release'}"
        for package in report["dependencies"]
        for hole in package.get("vulns", ())
    ]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Audit pinned packages.")
    parser.add_argument("requirements", type=Path)
    parser.add_argument(
        "--unreachable", type=Path, help="file for the report that the database was out of reach"
    )
    args = parser.parse_args()
    verdict = audit(args.requirements)
    print(verdict.text)
    if verdict.status == NOT_AUDITED and args.unreachable is not None:
        args.unreachable.write_text(verdict.text + "\n")
        return CLEAN
    return verdict.status


if __name__ == "__main__":
    sys.exit(main())
