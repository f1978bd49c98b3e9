"""Each import contract holds, and each one catches a violation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]

# Contract, module that breaks it, the import that does.
VIOLATIONS = [
    ("layers", "service/thumbstream/pipeline.py", "from thumbstream.http import routes"),
    ("layers", "service/thumbstream/codec/base.py", "from thumbstream import models"),
    ("layers", "service/thumbstream/images/__init__.py", "from thumbstream import storage"),
    ("layers", "service/thumbstream/newcomer.py", "import json"),
    ("layers-of-http", "service/thumbstream/http/query.py", "from thumbstream.http import routes"),
    ("layers-of-http", "service/thumbstream/http/auth.py", "from thumbstream.http import signing"),
    ("layers-of-http", "service/thumbstream/http/newcomer.py", "import json"),
    ("layers-of-bulk", "service/thumbstream/bulk/scan.py", "from thumbstream.bulk import runner"),
    ("layers-of-bulk", "service/thumbstream/bulk/newcomer.py", "import json"),
    (
        "layers-of-client",
        "service/thumbstream/client/calls.py",
        "from thumbstream.client import senders",
    ),
    ("layers", "service/thumbstream/client/calls.py", "from thumbstream.http import signing"),
    ("only-client-httpx", "service/thumbstream/library.py", "import httpx"),
    ("no-torch", "service/thumbstream/models.py", "import torch"),
    ("no-torch", "service/thumbstream/cli/__init__.py", "from thumbstream_models import cli"),
    ("one-runtime", "service/thumbstream/server/app.py", "import onnxruntime"),
    ("one-runtime", "service/thumbstream/codec/base.py", "import onnxruntime"),
    ("models-see-the-codec", "models/thumbstream_models/cli.py", "from thumbstream import images"),
    ("models-see-the-codec", "models/thumbstream_models/cli.py", "from thumbstream import http"),
    (
        "layers-of-models",
        "models/thumbstream_models/training/runs.py",
        "from thumbstream_models import evaluate",
    ),
    ("layers-of-models", "models/thumbstream_models/newcomer.py", "import json"),
    ("pure-codec", "service/thumbstream/codec/range_coder.py", "import os"),
    ("pure-codec", "service/thumbstream/codec/base.py", "import time"),
]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the Python sources and the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    only_python = shutil.ignore_patterns("__pycache__", "web")
    for folder in ("service/thumbstream", "models/thumbstream_models"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=only_python)
    return tmp_path


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [f"--contract={name}" for name in contracts]
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", *chosen],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'service'}{os.pathsep}{folder / 'models'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_sources_keep_every_contract(sources: Path) -> None:
    result = lint(sources)
    assert result.returncode == 0, result.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


def test_every_contract_has_a_violation() -> None:
    assert {name for name, _, _ in VIOLATIONS} == {contract["id"] for contract in CONTRACTS}


@pytest.mark.parametrize(("contract", "module", "violation"), VIOLATIONS)
def test_violation_is_caught(sources: Path, contract: str, module: str, violation: str) -> None:
    with (sources / module).open("a") as file:
        file.write(f"\n{violation}\n")
    result = lint(sources, contract)
    assert result.returncode != 0, result.stdout
    if module.endswith("newcomer.py"):
        assert ".newcomer" in result.stdout + result.stderr
    else:
        assert "0 kept, 1 broken" in result.stdout
