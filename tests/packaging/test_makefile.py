"""The Makefile: what it offers is told, and a second call installs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
DECLARED = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", MAKEFILE.split(".DELETE_ON_ERROR:")[1], re.M)
TARGETS = DECLARED[1].replace("\\\n", " ").split() if DECLARED else []


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # Not what an outer make hands down: its flags and variables are not this call's.
    handed_down = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "VENV", "DIST", "RUNTIME"}
    environment = {key: value for key, value in os.environ.items() if key not in handed_down}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def told() -> str:
    return make("help").stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Makefile looks at, with an environment in which everything is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "models/pyproject.toml"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for made in (programs / "python", tmp_path / ".venv" / ".installed-cpu"):
        made.touch()
    (tmp_path / ".venv" / ".developer-cpu").touch()
    return tmp_path


def test_there_are_targets() -> None:
    assert {"run", "install", "test", "check", "bench-rd", "help"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_in_the_help(target: str, told: str) -> None:
    assert re.search(rf"^make {target} ", told, re.MULTILINE)


def test_help_tells_nothing_that_cannot_be_made(told: str) -> None:
    assert sorted(re.findall(r"^make ([a-z-]+)", told, re.MULTILINE)) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_in_contributing(target: str) -> None:
    assert f"`make {target}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_bare_make_is_help(told: str) -> None:
    assert make().stdout == told


@pytest.mark.parametrize("target", ["install", "develop"])
def test_a_second_call_has_nothing_to_do(checkout: Path, target: str) -> None:
    assert make("--question", target, "RUNTIME=cpu", folder=checkout).returncode == 0


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        ("pyproject.toml", "install"),
        ("constraints.txt", "install"),
        ("constraints.txt", "develop"),
        ("models/pyproject.toml", "develop"),
    ],
)
def test_a_changed_requirement_installs_again(checkout: Path, changed: str, target: str) -> None:
    later = (checkout / ".venv" / ".developer-cpu").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert make("--question", target, "RUNTIME=cpu", folder=checkout).returncode == 1


def test_the_other_runtime_is_removed_first(checkout: Path) -> None:
    told = make("--dry-run", "install", "RUNTIME=gpu", folder=checkout).stdout
    removal, installation = told.index("uninstall"), told.index("'.[gpu]'")
    assert removal < installation
    assert re.search(r"uninstall .* onnxruntime\b(?!-gpu)", told)


def test_run_takes_host_and_port(checkout: Path) -> None:
    told = make("--dry-run", "run", "RUNTIME=cpu", "HOST=0.0.0.0", "PORT=81", folder=checkout)
    assert "serve --host 0.0.0.0 --port 81" in told.stdout
    plain = make("--dry-run", "run", "RUNTIME=cpu", folder=checkout).stdout
    assert "serve --host 127.0.0.1 --port 8000" in plain


def test_pictures_may_be_named_without_a_variable(checkout: Path) -> None:
    (checkout / "pictures").mkdir()
    for arguments in (["DIR=pictures"], ["pictures"]):
        told = make("--dry-run", "bench-rd", *arguments, "RUNTIME=cpu", folder=checkout)
        assert "evaluate pictures" in told.stdout
        assert told.returncode == 0
    refused = make("bench-rd", "RUNTIME=cpu", folder=checkout)
    assert refused.returncode == 2
    assert "DIR=folder" in refused.stderr


def test_an_old_python_is_told_what_to_do(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    refused = make("install", "PYTHON=", folder=tmp_path)
    assert refused.returncode == 2
    assert "Python 3.11" in refused.stderr
    assert not (tmp_path / ".venv").exists()
