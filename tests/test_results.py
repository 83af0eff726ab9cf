import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_documents_say_what_the_results_say():
    command = [sys.executable, str(ROOT / "benchmarks" / "render.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
