"""A published model on the CPU, and the modules that only these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from thumbstream import published_models as zoo
from thumbstream.codec.base import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    """The paper's published model. No test may depend on what exactly its weights are."""
    return zoo.load("conv-lstm-1", device="cpu")
