"""The audit of dependencies: it fails for what is known, and is never green by silence."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


HOLE = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": [], "description": ""}


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


def package(name: str, *holes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": list(holes)}


SKIPPED = {"name": "b", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        (report(package("a"), package("b")), 0, "2 packages audited"),
        (report(package("a", HOLE)), 1, "a 1: PYSEC-1, mended in 2"),
        (report(package("a", HOLE | {"fix_versions": []}), SKIPPED), 1, "no release"),
        (report(package("a"), SKIPPED), 3, "does not know b"),
        (report(), 3, "NOT AUDITED"),
        (None, 3, "NOT AUDITED"),
    ],
)
def test_verdicts(tool: ModuleType, found: Any, status: int, text: str) -> None:
    verdict = tool.judge(found, "pypi")
    assert verdict.status == status
    assert text in verdict.text


@pytest.mark.parametrize("silence", [None, report(), report(SKIPPED), report(package("jinja2"))])
def test_a_database_that_does_not_know_the_canary_is_not_believed(
    tool: ModuleType, tmp_path: Path, silence: Any
) -> None:
    asked = []

    def ask(requirements: Path, database: str) -> Any:
        asked.append((database, requirements.read_text()))
        return silence if database == "pypi" else report(package("jinja2", HOLE))

    pinned = tmp_path / "pinned.txt"
    pinned.write_text("a==1\n")
    assert tool.audit(pinned, ask).status == 1
    assert asked == [("pypi", "jinja2==2.10\n"), ("osv", "jinja2==2.10\n"), ("osv", "a==1\n")]
    assert tool.audit(pinned, lambda *_: silence).status == 3


def test_ci_says_what_it_could_not_reach(tool: ModuleType) -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "make audit" in text
    assert "--unreachable" in text
    assert 'cat "$work/not-audited"' in text


def test_the_clients_packages_have_no_dependencies() -> None:
    """So there is nothing that npm could audit; a framework that an application has is optional."""
    found = [
        path
        for path in ROOT.rglob("package.json")
        if not {"node_modules", ".venv", "build"} & set(path.relative_to(ROOT).parts)
    ]
    assert found
    for path in found:
        package = json.loads(path.read_text())
        peers, optional = (package.pop(f"peerDependencies{end}", {}) for end in ("", "Meta"))
        assert all(optional[name] == {"optional": True} for name in peers), path
        assert not [key for key in package if key.lower().endswith("dependencies")], path
