import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_documents_say_what_the_results_say():
    command = [sys.executable, "-m", "experiments", "render", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
