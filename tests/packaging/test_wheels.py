"""Which models are in which wheel. ``wheel_smoke.py`` installs both and runs them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from thumbstream.models import DEFAULT_MODEL, PAPER_DISTRIBUTION, PAPER_MODELS

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "models" / "zoo"
PAPER = ROOT / "models" / "paper-models"
MAX_BYTES = 10_000_000


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def wheel(folder: Path) -> dict:
    return project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]


def test_the_wheel_has_the_default_model_alone_and_is_small() -> None:
    included, excluded = wheel(ROOT)["only-include"], wheel(ROOT)["exclude"]
    assert included == ["service/thumbstream", f"models/zoo/{DEFAULT_MODEL}"]
    files = {path for folder in included for path in (ROOT / folder).rglob("*") if path.is_file()}
    files -= {path for pattern in excluded for path in ROOT.glob(pattern)}
    size = sum(path.stat().st_size for path in files if "__pycache__" not in path.parts)
    assert size < MAX_BYTES  # before it is compressed


def test_every_other_model_is_in_the_second_wheel() -> None:
    others = {folder.name for folder in ZOO.iterdir() if (folder / "manifest.json").is_file()}
    others -= {DEFAULT_MODEL}
    package = "thumbstream_paper_models"
    included = wheel(PAPER)["force-include"]
    assert {name: included[f"../zoo/{name}"] for name in others} == {
        name: f"{package}/{name}" for name in others
    }
    assert project(PAPER)["project"]["entry-points"]["thumbstream.models"] == {"paper": package}


def test_errors_can_name_the_second_distribution() -> None:
    assert project(PAPER)["project"]["name"] == PAPER_DISTRIBUTION
    manifests = [json.loads(path.read_text()) for path in ZOO.glob("*/manifest.json")]
    others = {m["bitstream_id"]: m["model_id"] for m in manifests if m["model_id"] != DEFAULT_MODEL}
    assert others == PAPER_MODELS


def test_both_distributions_have_the_same_version() -> None:
    assert project(PAPER)["project"]["version"] == project(ROOT)["project"]["version"]
