"""``python -m thumbstream_models``."""

import sys

from thumbstream_models.cli import main

sys.exit(main())
