"""``python -m mmq``."""

import sys

from mmq.cli import main

sys.exit(main())
