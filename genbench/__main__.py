"""`python -m genbench` is the command `genbench`."""

from __future__ import annotations

import sys

from genbench.cli.main import main

sys.exit(main())
