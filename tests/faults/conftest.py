from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import killing
import pytest
from forks import warm_up


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The home that operations start from. Copy it (`killing.copy`), do not change it."""
    folder = tmp_path_factory.mktemp("faults") / "prepared"
    folder.mkdir()
    warm_up()
    killing.run(folder, "prepare")
    return folder


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
