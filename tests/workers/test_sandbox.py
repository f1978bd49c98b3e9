"""The memory of the service is hidden from other processes where the kernel has no Landlock."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes
from thumbstream import sandbox
sandbox._supports_landlock = lambda libc: {landlock}
sandbox.hide_memory()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("landlock", [True, False])
def test_memory_is_hidden_without_landlock(landlock: bool) -> None:
    script = SCRIPT.format(landlock=landlock)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) == landlock
