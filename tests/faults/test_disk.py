"""A full disk, a limit on file sizes, a read-only folder: one clear error, and nothing is lost."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import killing
import operations
import pytest
from operations import OPERATIONS

import labelaudit
from labelaudit.core.progress import Progress
from labelaudit.jobs import worker
from labelaudit.jobs.job import Job

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("LABELAUDIT_FAULTS", 0))
SHORT = ["noise", "train", "predict", "verdicts", "add samples"]
NAMES = [name for name in OPERATIONS if name != "delete"] if KILLS else SHORT


def size(folder: Path) -> int:
    """Return the bytes that its files occupy on disk, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def check_sentence(words: str | None) -> None:
    assert words is not None, "it did not fail"
    assert re.search("space|written", words), words
    assert "\n" not in words.strip(), words
    assert "Traceback" not in words, words
    assert words.endswith("."), words


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_loses_nothing(name, prepared, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("LABELAUDIT_HOME", str(tmp_path / "whole"))
    killing.copy(prepared, tmp_path / "whole")
    needed = -size(tmp_path / "whole")
    assert killing.run(tmp_path / "whole", name).error is None
    needed = max(needed + size(tmp_path / "whole"), 0)  # a smaller dataset may replace another
    whole = operations.everything()

    folder, filler = small_disk / "home", small_disk / "filler"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    for share in (0, 0.4):  # of the space that it takes
        filler.unlink(missing_ok=True)
        killing.copy(prepared, folder)
        before = operations.everything()
        disk = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(int(disk.f_bavail * disk.f_frsize - share * needed), 0)))
        failed = killing.run(folder, name)
        check_sentence(failed.error)
        state = operations.everything()
        if name == "verdicts":
            kept = state[operations.NAME]["verdicts"][1]
            assert kept == whole[operations.NAME]["verdicts"][1][: len(kept)]
            assert set(failed.said) <= set(kept)
            continue
        assert state == before
        filler.unlink()
        assert killing.run(folder, name).error is None
        assert operations.everything() == whole
        killing.run(folder, "tidy")
        assert operations.orphans() == []


@pytest.mark.parametrize("name", ["load", "export"])
def test_a_limit_on_files_is_reported_as_clearly(name, prepared, tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    killing.copy(prepared, folder)
    before = operations.everything()
    check_sentence(killing.run(folder, name, limit=500).error)
    assert operations.everything() == before


def test_a_read_only_folder_can_be_read_and_says_why_it_is_not_changed(
    prepared, small_disk, monkeypatch
):
    folder = small_disk / "home"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    killing.copy(prepared, folder)
    before = operations.everything()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert operations.everything() == before
    for name in SHORT if KILLS == 0 else OPERATIONS:
        check_sentence(killing.run(folder, name).error)
    assert operations.everything() == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert labelaudit.Dataset(operations.NAME).tag([1], "now") == 1


def test_a_job_on_a_full_disk_still_says_why_it_ended(small_disk, monkeypatch):
    folder, filler = small_disk / "job", small_disk / "filler"
    folder.mkdir()
    report = worker.Reporter(folder)
    report(Progress("training", 1, 10, 0.1, None))
    with suppress(OSError):
        while True:
            with filler.open("ab") as sink:
                sink.write(bytes(4096))
    report(Progress("training", 2, 10, 0.2, None))  # the report is lost, and the work continues
    worker.write_error(folder, "no space left on the disk.")
    assert Job(folder).error == "no space left on the disk."
