"""Replacing and deleting a dataset in object storage, interrupted at every write, in memory."""

from __future__ import annotations

import pytest

from labelaudit.storage import object_store, snapshot_pointer

CHANGES = ("write", "write_if", "delete", "delete_below")  # functions that change the storage


class Killed(BaseException):
    """Ends the code under test, as a kill would."""


def kill_at(monkeypatch, step: int) -> None:
    """Raise Killed instead of making change number `step` (0 is the first) to the storage."""
    changes = 0

    def dying(change):
        def call(*arguments):
            nonlocal changes
            changes += 1
            if changes > step:
                raise Killed
            return change(*arguments)

        return call

    for name in CHANGES:
        monkeypatch.setattr(object_store, name, dying(getattr(object_store, name)))


@pytest.fixture
def folder(bucket):
    return f"{bucket}/home/datasets/small"


def build(folder: str, content: bytes) -> str:
    """Create new tables next to the current ones. Returns their URI."""
    tables = snapshot_pointer.new_uri(folder)
    for name in ("samples.lance/data/1", "labels.lance/data/1"):
        object_store.write(f"{tables}/{name}", content)
    return tables


def current(folder: str) -> set[bytes]:
    """Return the content of the current tables; all objects must agree."""
    tables = snapshot_pointer.tables_uri(folder)
    names = ("samples.lance/data/1", "labels.lance/data/1")
    found = [object_store.read(f"{tables}/{name}") for name in names]
    return {None if each is None else each[0] for each in found}


def names(folder: str) -> list[str]:
    return list(object_store.names_below(folder))


@pytest.mark.parametrize("copied", [False, True], ids=["built here", "copied from a disk"])
def test_a_replacement_killed_at_any_write_leaves_the_old_or_the_new(folder, monkeypatch, copied):
    seen = []
    for step in range(20):
        object_store.delete_below(folder)
        if copied:  # tables lie in the folder itself, without a pointer
            for name in ("samples.lance/data/1", "labels.lance/data/1"):
                object_store.write(f"{folder}/{name}", b"old")
        else:
            snapshot_pointer.replace(folder, build(folder, b"old"))
        assert current(folder) == {b"old"}
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                snapshot_pointer.replace(folder, build(folder, b"new"))
                done = True
            except Killed:
                done = False
        found = current(folder)
        assert found in ({b"old"}, {b"new"})
        seen.append(found.pop())
        snapshot_pointer.remove_leftovers(folder)
        assert not snapshot_pointer.has_leftovers(folder)
        assert current(folder) == {seen[-1]}
        if done:
            break
    assert done
    assert seen[0] == b"old"
    assert seen[-1] == b"new"
    assert seen == sorted(seen, reverse=True)  # "old" until the pointer is written
    assert len(names(folder)) == 3  # two tables and the pointer


def test_a_deletion_killed_at_any_write_leaves_all_or_nothing(folder, monkeypatch):
    seen = []
    for step in range(20):
        snapshot_pointer.replace(folder, build(folder, b"data"))
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                snapshot_pointer.delete(folder)
                done = True
            except Killed:
                done = False
        found = current(folder)
        assert found in ({b"data"}, {None})
        seen.append(found == {b"data"})
        snapshot_pointer.delete(folder)  # a second deletion completes the first
        assert names(folder) == []
        if done:
            break
    assert done
    assert seen == [True] + [False] * (len(seen) - 1)


def test_a_copy_without_a_pointer_is_left_alone(folder):
    object_store.write(f"{folder}/samples.lance/data/1", b"half a copy")
    built = build(folder, b"killed load")
    assert snapshot_pointer.has_leftovers(folder)
    snapshot_pointer.remove_leftovers(folder)
    assert names(folder) == ["samples.lance/data/1"]
    assert names(built) == []
