"""The networks that the codec's tests write without ``onnx`` are valid."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codec"))

from codec_lapped import lapped_folder
from codec_systems import SYSTEMS, System, system_folder


def check(folder: Path) -> int:
    """Check every network of a model folder; returns how many there are."""
    networks = sorted(folder.glob("*.onnx"))
    for network in networks:
        onnx.checker.check_model(onnx.load(network), full_check=True)
    return len(networks)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_networks_of_small_systems_are_valid(tmp_path: Path, system: System) -> None:
    assert check(system_folder(tmp_path, system)) >= 2


def test_networks_of_the_small_lapped_model_are_valid(tmp_path: Path) -> None:
    assert check(lapped_folder(tmp_path)) == 2
