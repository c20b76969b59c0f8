"""`python -m weft`, where the command is not on the path."""

import sys

from weft.cli import main

sys.exit(main())
