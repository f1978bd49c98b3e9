"""The Node.js of tests that compare the client with Python."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

NODE = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
"""Of the machine, or the wheel that ``make test`` installs; None without both."""

needs_node = pytest.mark.skipif(
    NODE is None and not os.environ.get("CI"), reason="node is not installed"
)
"""In CI the test runs, and fails without Node.js."""
