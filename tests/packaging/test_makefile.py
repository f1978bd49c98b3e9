"""The Makefile: every target is documented, and a second call installs nothing."""

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
    # Without the flags and variables of an outer make.
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
def help_text() -> str:
    return make("help").stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the Makefile reads, and an environment in which everything is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "models/pyproject.toml"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for made in (programs / "python", tmp_path / ".venv" / ".installed-cpu"):
        made.touch()
    for later in (".tester-cpu", ".developer-cpu"):
        (tmp_path / ".venv" / later).touch()
    return tmp_path


def test_finds_the_targets() -> None:
    assert {"run", "install", "test", "check", "bench-rd", "help"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_in_the_help(target: str, help_text: str) -> None:
    assert re.search(rf"^make {target} ", help_text, re.MULTILINE)


def test_help_lists_only_existing_targets(help_text: str) -> None:
    assert sorted(re.findall(r"^make ([a-z-]+)", help_text, re.MULTILINE)) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_in_contributing(target: str) -> None:
    assert f"`make {target}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_make_without_target_shows_help(help_text: str) -> None:
    assert make().stdout == help_text


@pytest.mark.parametrize("target", ["install", "develop"])
def test_second_call_has_nothing_to_do(checkout: Path, target: str) -> None:
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
    planned = make("--dry-run", "install", "RUNTIME=gpu", folder=checkout).stdout
    removal, installation = planned.index("uninstall"), planned.index("'.[gpu]'")
    assert removal < installation
    assert re.search(r"uninstall .* onnxruntime\b(?!-gpu)", planned)


def test_run_takes_host_and_port(checkout: Path) -> None:
    planned = make("--dry-run", "run", "RUNTIME=cpu", "HOST=0.0.0.0", "PORT=81", folder=checkout)
    assert "serve --host 0.0.0.0 --port 81" in planned.stdout
    plain = make("--dry-run", "run", "RUNTIME=cpu", folder=checkout).stdout
    assert "serve --host 127.0.0.1 --port 8000" in plain


def test_pictures_folder_as_plain_argument(checkout: Path) -> None:
    (checkout / "pictures").mkdir()
    for arguments in (["DIR=pictures"], ["pictures"]):
        planned = make("--dry-run", "bench-rd", *arguments, "RUNTIME=cpu", folder=checkout)
        assert "evaluate pictures" in planned.stdout
        assert planned.returncode == 0
    refused = make("bench-rd", "RUNTIME=cpu", folder=checkout)
    assert refused.returncode == 2
    assert "DIR=folder" in refused.stderr


def test_old_python_gets_advice(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    refused = make("install", "PYTHON=", folder=tmp_path)
    assert refused.returncode == 2
    assert "Python 3.11" in refused.stderr
    assert not (tmp_path / ".venv").exists()
