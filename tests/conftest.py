"""What every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded stacks and worm images, which are not part of the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WORMFOCUS_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set WORMFOCUS_DATA to the folder that holds it")
    return folder
