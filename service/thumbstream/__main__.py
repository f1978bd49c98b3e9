"""Runs the command line for ``python -m thumbstream``."""

import sys

from thumbstream.cli import main

sys.exit(main())
