"""`python -m aios_core` is the same as `aios`."""

import sys

from aios_core.cli import main

sys.exit(main())
