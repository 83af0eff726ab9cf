"""``python -m experiments``: see :mod:`experiments.command`."""

import sys

from experiments.command import app
from mmq.cli import main, run_app

if __name__ == "__main__":
    reproduced = sys.argv[1:2] == ["reproduce"]
    sys.exit(main() if reproduced else run_app(app, "experiments"))
