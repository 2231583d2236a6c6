"""The commit point of a dataset: replaced atomically, on a local disk and in object storage."""

from __future__ import annotations

import os
import shutil
import threading
from datetime import datetime, timedelta
from pathlib import Path

import lancedb
import pytest
from test_tables import NUMBERS, numbers

import labelaudit
from labelaudit import Dataset
from labelaudit.core.errors import BusyError, DamagedError
from labelaudit.dataset import verdict_log
from labelaudit.storage import cleanup, local_store, object_store
from labelaudit.storage.snapshot import Pointer, backend, new_folder
from labelaudit.storage.tables import Staging, Store

CHANGES = ("write", "write_if", "delete", "delete_below", "delete_empty")  # change the storage


class Killed(BaseException):
    """Ends the code under test, as a kill would."""


def kill_at(monkeypatch, module, step: int) -> None:
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
        if hasattr(module, name):
            monkeypatch.setattr(module, name, dying(getattr(module, name)))


@pytest.fixture(params=["local", "object storage"])
def pointer(request, tmp_path):
    """The pointer of a dataset that does not exist yet."""
    if request.param == "local":
        return Pointer(str(tmp_path / "datasets" / "small"))
    return Pointer(f"{request.getfixturevalue('bucket')}/home/datasets/small")


FILES = ("samples.lance/data/1", "labels.lance/data/1")


def write(uri: str, content: bytes) -> None:
    if object_store.is_remote(uri):
        object_store.write(uri, content)
    else:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        Path(uri).write_bytes(content)


def build(pointer: Pointer, content: bytes, folder: str | None = None) -> str:
    """Create new tables next to the current ones. Returns their folder."""
    folder = new_folder() if folder is None else folder
    for name in FILES:
        write(f"{pointer.tables_uri(folder)}/{name}", content)
    return folder


def replace(pointer: Pointer, folder: str) -> None:
    pointer.swap(pointer.read(now=True), folder, {"samples": (1, "a")})
    pointer.remove_leftovers()


def current(pointer: Pointer) -> set[bytes | None]:
    """Return the content of the current tables; all files must agree."""
    module = backend(pointer.folder)
    uri = pointer.tables_uri(pointer.read(now=True).folder)
    found = [module.read(f"{uri}/{name}") for name in FILES]
    return {None if each is None else each[0] for each in found}


def names(pointer: Pointer) -> set[str]:
    if backend(pointer.folder) is object_store:
        return set(object_store.names_below(pointer.folder))
    return {
        os.path.relpath(os.path.join(folder, name), pointer.folder)
        for folder, (files, _) in local_store.list_below(pointer.folder).items()
        for name in files
    }


# --- replacing and deleting a dataset ---


@pytest.mark.parametrize("copied", [False, True], ids=["built here", "of format 1"])
def test_a_replacement_killed_at_any_write_leaves_the_old_or_the_new(pointer, monkeypatch, copied):
    module, seen, done = backend(pointer.folder), [], False
    for step in range(20):
        module.delete_below(pointer.folder)
        pointer.forget()
        if copied:  # tables lie in the folder itself, without a pointer
            build(pointer, b"old", "")
        else:
            replace(pointer, build(pointer, b"old"))
        assert current(pointer) == {b"old"}
        with monkeypatch.context() as patch:
            kill_at(patch, module, step)
            try:
                replace(pointer, build(pointer, b"new"))
                done = True
            except Killed:
                done = False
        found = current(pointer)
        assert found in ({b"old"}, {b"new"})
        seen.append(found.pop())
        pointer.remove_leftovers()
        assert not pointer.has_leftovers()
        assert current(pointer) == {seen[-1]}
        if done:
            break
    assert done
    assert seen[0] == b"old"
    assert seen[-1] == b"new"
    assert seen == sorted(seen, reverse=True)  # "old" until the pointer is written
    assert len(names(pointer)) == 3  # two tables and the pointer


def test_a_deletion_killed_at_any_write_leaves_all_or_nothing(pointer, monkeypatch):
    module, seen, done = backend(pointer.folder), [], False
    for step in range(20):
        replace(pointer, build(pointer, b"data"))
        with monkeypatch.context() as patch:
            kill_at(patch, module, step)
            try:
                pointer.delete()
                done = True
            except Killed:
                done = False
        pointer.forget()
        found = current(pointer)
        assert found in ({b"data"}, {None})
        seen.append(found == {b"data"})
        pointer.delete()  # a second deletion completes the first
        assert names(pointer) == set()
        if done:
            break
    assert done
    assert seen == [True] + [False] * (len(seen) - 1)


def test_a_copy_without_a_pointer_is_left_alone(pointer):
    write(f"{pointer.folder}/samples.lance/data/1", b"half a copy")
    build(pointer, b"killed load")
    assert pointer.has_leftovers()
    pointer.remove_leftovers()
    assert names(pointer) == {"samples.lance/data/1"}


def test_only_one_of_two_commits_on_the_same_state_succeeds(pointer):
    """A writer that lost its lease, and another that took it over."""
    replace(pointer, "0" * 12)
    mine = theirs = pointer.read(now=True)
    pointer.swap(theirs, theirs.folder, {"samples": (2, "theirs")})
    with pytest.raises(BusyError, match=r"took over the lock .* repeat it"):
        pointer.swap(mine, mine.folder, {"samples": (2, "mine")})
    assert pointer.read(now=True).tables == {"samples": (2, "theirs")}


def test_a_commit_whose_answer_was_lost_is_recognised(pointer, monkeypatch):
    module, write_if = backend(pointer.folder), backend(pointer.folder).write_if
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_if", lambda *rows: write_if(*rows) and None)
        pointer.swap(pointer.read(now=True), "0" * 12, {"samples": (1, "a")})
    assert pointer.read(now=True).tables == {"samples": (1, "a")}
    pointer.swap(pointer.read(), "0" * 12, {"samples": (2, "b")})  # its tag is known


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tables": "x", "versions": {"a": 1}}'])
def test_a_damaged_pointer_is_one_sentence(pointer, content):
    write(pointer.uri, content)
    with pytest.raises(DamagedError, match=r"current is damaged: restore .* from a copy"):
        pointer.read(now=True)


# --- transactions ---


@pytest.fixture
def store(home) -> Store:
    store = Store("d")
    store.overwrite("numbers", numbers([1]), NUMBERS)
    store.overwrite("second", numbers([1]), NUMBERS)
    return store


def ids(store: Store, table: str = "numbers") -> list[int] | None:
    rows = store.read(table, ["id"])
    return None if rows is None else sorted(rows["id"].to_pylist())


def state(store: Store) -> tuple:
    return ids(store, "numbers"), ids(store, "second"), ids(store, "third")


def change(store: Store) -> None:
    """Change three tables in all ways, each more than once."""
    store.append("numbers", numbers([2]), NUMBERS)
    store.upsert("numbers", numbers([2, 3], 1), NUMBERS)
    store.delete("numbers", "id = 1")
    store.drop("second")
    store.append("third", numbers([5]), NUMBERS)
    store.overwrite("third", iter(numbers([6]).to_batches()), NUMBERS)


def fail_after_changes(store: Store) -> None:
    change(store)
    _ = 1 / 0


CHANGED = ([2, 3], None, [6])


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_changes_of_a_block_are_seen_by_others_when_it_ends(store):
    before = state(store)
    with store.transaction():
        change(store)
        assert state(store) == CHANGED
        assert state(Store("d")) == in_thread(lambda: state(store)) == before
    assert state(store) == state(Store("d")) == CHANGED


def test_a_block_that_fails_changes_nothing_and_can_be_repeated(store):
    before = state(store)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), store.transaction():
            fail_after_changes(store)
        assert state(store) == state(Store("d")) == before
    with store.transaction():
        change(store)
    assert state(store) == state(Store("d")) == CHANGED


def test_an_inner_block_that_fails_is_undone_alone(store):
    with store.transaction():
        store.append("numbers", numbers([7]), NUMBERS)
        with pytest.raises(ZeroDivisionError), store.transaction():
            fail_after_changes(store)
        assert state(store) == ([1, 7], [1], None)
        store.append("numbers", numbers([8]), NUMBERS)
    assert state(Store("d")) == ([1, 7, 8], [1], None)


def test_rows_that_are_read_while_they_are_written_are_of_the_transaction(store):
    """LanceDB asks for them in a thread of its own."""
    with store.transaction():
        store.append("numbers", numbers([2]), NUMBERS)

        def rows():
            yield from store.read("numbers", ["id", "value"]).to_batches()

        store.overwrite("second", rows(), NUMBERS)
    assert ids(store, "second") == [1, 2]


def raw(store: Store, table: str):
    """The table as LanceDB knows it, at its latest version."""
    uri = store._pointer.tables_uri(store._snapshot().folder)
    return lancedb.connect(uri).open_table(table)


def test_what_a_frozen_writer_writes_later_is_never_seen(store):
    raw(store, "numbers").add(numbers([66]))  # it had lost the lock
    assert ids(store) == [1]
    store.append("numbers", numbers([2]), NUMBERS)
    raw(store, "numbers").add(numbers([67]))
    assert ids(store) == ids(Store("d")) == [1, 2]


def test_a_frozen_writer_that_writes_between_stops_the_transaction(store, monkeypatch):
    writable = store._writable

    def interfered(work, table):
        handle = writable(work, table)
        raw(store, table).add(numbers([66]))
        return handle

    with monkeypatch.context() as patch:
        patch.setattr(store, "_writable", interfered)
        with pytest.raises(BusyError, match="at the same time"):
            store.append("numbers", numbers([2]), NUMBERS)
    assert ids(store) == ids(Store("d")) == [1]


def test_staged_rows_are_seen_when_they_are_published(store):
    for base in ("numbers", "new"):
        before = ids(store, base)
        with Staging(store, base) as staging:
            staging.upsert(iter(numbers([5]).to_batches()), NUMBERS)
            assert ids(store, base) == before
            store.append("second", numbers([len(base)]), NUMBERS)  # nobody waits for it
            with store.transaction():
                staging.publish()
        assert ids(store, base) == [*(before or []), 5]
    with Staging(store, "new") as one, Staging(store, "new") as two:
        one.upsert(numbers([6]), NUMBERS)
        two.upsert(numbers([7]), NUMBERS)
        for staging in (two, one):
            with store.transaction():
                staging.publish()
    assert ids(store, "new") == [5, 6, 7]  # nothing is lost
    with Staging(store, "last") as one, Staging(store, "last") as two:
        one.upsert(numbers([6]), NUMBERS)
        two.upsert(numbers([7]), NUMBERS)
        with store.transaction():
            two.publish()
        with pytest.raises(BusyError, match="not stored: repeat"), store.transaction():
            one.publish()
    assert ids(Store("d"), "last") == [7]


def test_a_reader_keeps_its_snapshot_while_others_compact(store):
    reader = Store("d")
    with reader.steady():
        assert ids(reader) == [1]
        for i in range(2, 120):  # compacted twice
            store.append("numbers", numbers([i]), NUMBERS)
        reader._handles.clear()
        assert ids(reader) == [1]


class Versions:
    """A LanceDB table of which only the ages of its versions count, in hours, oldest first."""

    def __init__(self, *hours: float) -> None:
        now = datetime.now()
        self.written = [now - timedelta(hours=age) for age in hours]

    def list_versions(self) -> list[dict]:
        return [{"version": i, "timestamp": at} for i, at in enumerate(self.written, start=1)]

    def optimize(self, cleanup_older_than, delete_unverified) -> None:
        limit = datetime.now() - cleanup_older_than
        self.left = [i for i, at in enumerate(self.written, start=1) if at >= limit]


@pytest.mark.parametrize(
    ("hours", "committed", "left"),
    [
        ([50, 40, 30, 20], 4, [4]),  # the one in use stays, however old it is
        ([50, 40, 30, 20], 2, [2, 3, 4]),  # later ones are of transactions that were undone
        ([50, 40, 30, 0.1], 4, [3, 4]),  # a reader may still use what was replaced recently
        ([50, 40, 0.2, 0.1], 4, [2, 3, 4]),
        ([0.3, 0.2, 0.1], 3, [1, 2, 3]),
        ([50, -40, 30, 20], 4, [2, 4]),  # the clock was wrong for a while
        ([50, 40, 30, -20], 4, [3, 4]),
        ([20, 30, 40], 3, [1, 2, 3]),  # it was set back again and again
    ],
)
def test_versions_in_use_are_never_removed(hours, committed, left):
    handle = Versions(*hours)
    cleanup.remove_old_versions(handle, committed)
    assert handle.left == left
    assert committed in handle.left


# --- durability ---


def test_an_acknowledged_verdict_survives_a_power_cut(make_dataset, home, monkeypatch):
    """Only what was synced, in folders that were synced, is on the disk then."""
    monkeypatch.setenv("LABELAUDIT_FSYNC", "1")
    synced: dict[str, bytes | None] = {}  # None for folders
    fsync, swap = os.fsync, os.replace

    def recorded(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        synced[path] = None if os.path.isdir(path) else Path(path).read_bytes()
        fsync(descriptor)

    def renamed(source, target):
        if source in synced:
            synced[target] = synced.pop(source)
        swap(source, target)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "replace", renamed)
    dataset = make_dataset(6)
    dataset.set_labels([2], "c3")
    labelaudit.Review(dataset, "ann").decide(1, "keep")
    monkeypatch.undo()
    monkeypatch.setenv("LABELAUDIT_HOME", str(home))
    shutil.move(home, home.with_name("lost"))
    for path, content in synced.items():
        if content is not None and str(Path(path).parent) in synced:
            write(path, content)
    found = Dataset("plain")
    assert found.view().to_pandas()["ground_truth"].tolist()[:3] == ["c0", "c3", "c2"]
    assert verdict_log.read(found.view().frame).sample.tolist() == [1]
    assert len(labelaudit.list_changes(found)) == 1
    assert found.add_samples([{"filepath": "/x"}]) == [7]


def test_opening_and_reading_a_dataset_writes_nothing(make_dataset, home):
    make_dataset(6).tag([1], "x")

    def files():
        return {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}

    before = files()
    dataset = Dataset("plain")
    assert len(dataset.view().to_pandas()) == dataset.info["samples"] == 6
    assert labelaudit.list_datasets() == ["plain"]
    assert files() == before
