from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import killing
import pytest
from forks import warm_up


@pytest.fixture(scope="session")
def prepared(build_once) -> Path:
    """The home that operations start from: to be copied with `killing.copy`."""
    warm_up()
    return build_once("prepared", lambda folder: killing.run(folder, "prepare"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A separate disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a disk to fill cannot be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
