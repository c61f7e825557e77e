# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m headsculpt` is the command line."""

import sys

from headsculpt.cli import main

sys.exit(main())
