"""A published model on the CPU, and the modules that only these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from thumbstream.codec.base import Codec
from thumbstream.models import installed_models


@pytest.fixture(scope="session")
def codec() -> Codec:
    """The paper's published model. No test may depend on what exactly its weights are."""
    return installed_models("cpu").load("conv-lstm-1")
