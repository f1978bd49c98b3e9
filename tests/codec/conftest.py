"""A published model on the CPU, and the path of the modules that only these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from thumbstream.codec.base import Codec
from thumbstream.models import installed_models


@pytest.fixture(scope="session")
def codec() -> Codec:
    """A published model of the paper. Tests must not depend on its exact weights."""
    return installed_models("cpu").load("conv-lstm-1")
