from __future__ import annotations

import random
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest
from forks import Program

from labelaudit.core.errors import BusyError, DamagedError, LabelAuditError
from labelaudit.storage import cleanup, schema
from labelaudit.storage.tables import Store

NUMBERS = pa.schema([schema.ID, ("value", pa.int32())])


def numbers(ids, value=0) -> pa.Table:
    return pa.table([pa.array(ids, pa.int64()), pa.array([value] * len(ids), pa.int32())],
                    schema=NUMBERS)  # fmt: skip


def opened(store: Store):
    """The table as LanceDB opens it."""
    return lancedb.connect(store.uri).open_table("numbers")


def rows(store: Store) -> dict:
    table = store.read("numbers", ["id", "value"])
    return dict(zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_overwrite_append_upsert_and_drop():
    store = Store("d")
    assert store.stamp("numbers") is None
    assert store.read("numbers", ["id"]) is None
    store.overwrite("numbers", numbers([1, 2]), NUMBERS)
    store.append("numbers", numbers([3]), NUMBERS)
    store.upsert("numbers", numbers([2, 4], value=9), NUMBERS)
    assert rows(store) == {1: 0, 2: 9, 3: 0, 4: 9}
    store.overwrite("numbers", iter(numbers([7]).to_batches()), NUMBERS)  # streamed
    assert rows(store) == {7: 0}
    store.drop("numbers")
    assert store.tables() == []


def test_an_empty_table_is_a_table():
    store = Store("d")
    store.overwrite("numbers", numbers([]), NUMBERS)
    assert store.exists("numbers")
    store.upsert("numbers", numbers([1]), NUMBERS)
    store.overwrite("numbers", numbers([]), NUMBERS)
    store.append("numbers", numbers([2]), NUMBERS)
    assert rows(store) == {2: 0}


def test_rows_are_replaced_one_by_one_whatever_happens_in_between(monkeypatch):
    """Rows are found by where they are stored, which other changes and compaction move."""
    monkeypatch.setattr(cleanup, "COMMITS_BEFORE_COMPACTION", 11)
    store, other, draw = Store("d"), Store("d"), random.Random(1)
    store.overwrite("numbers", numbers(range(30)), NUMBERS)
    expected = dict.fromkeys(range(30), 0)
    for step in range(1, 41):
        ids = draw.sample(range(33), draw.randint(1, 4))
        try:
            with store.transaction():
                store.upsert("numbers", numbers(ids, step), NUMBERS)
                store.upsert("numbers", numbers(ids[:1], -step), NUMBERS)
                if step % 9 == 0:
                    raise KeyError
            expected |= dict.fromkeys(ids, step) | {ids[0]: -step}
        except KeyError:
            pass
        if step % 7 == 0:
            other.upsert("numbers", numbers([5], -99), NUMBERS)
            store.delete("numbers", "id = 6")
            expected[5] = -99
            expected.pop(6, None)
        assert rows(store) == expected, step


def test_another_handle_sees_a_commit_at_once():
    writer, reader = Store("d"), Store("d")
    writer.overwrite("numbers", numbers([1]), NUMBERS)
    first = reader.stamp("numbers")
    writer.append("numbers", numbers([2]), NUMBERS)
    assert reader.stamp("numbers") != first
    assert rows(reader) == {1: 0, 2: 0}


def test_a_steady_reading_is_one_snapshot_of_all_tables():
    writer, reader = Store("d"), Store("d")
    writer.overwrite("numbers", numbers([1]), NUMBERS)
    writer.overwrite("second", numbers([1]), NUMBERS)
    with reader.steady():
        before = reader.stamp("numbers")
        writer.append("numbers", numbers([2]), NUMBERS)
        writer.overwrite("second", numbers([5, 6]), NUMBERS)
        writer.overwrite("others", numbers([5]), NUMBERS)
        with reader.steady():
            assert reader.stamp("numbers") == before
            assert reader.columns("numbers") == ["id", "value"]
            assert not reader.exists("others")
        assert rows(reader) == {1: 0}
        assert reader.count("second") == 1  # opened only now, at the version of the snapshot
        with pytest.raises(RuntimeError, match="steady"):
            reader.append("numbers", numbers([3]), NUMBERS)
    assert reader.stamp("numbers") != before
    assert rows(reader) == {1: 0, 2: 0}


def test_a_reader_of_a_table_that_is_dropped_is_asked_to_repeat():
    writer, reader = Store("d"), Store("d")
    writer.overwrite("numbers", numbers([1]), NUMBERS)
    with reader.steady():
        assert reader.columns("numbers") == ["id", "value"]  # it is open
        writer.drop("numbers")
        for read in (
            lambda: reader.read("numbers", ["id"]),
            lambda: list(reader.batches("numbers", ["id"], 10)),
            lambda: reader.take("numbers", [0], ["id"]),
        ):
            with pytest.raises(BusyError, match="'numbers' as it was then is gone: repeat it"):
                read()
    assert reader.read("numbers", ["id"]) is None


def test_a_table_that_lacks_a_file_is_damaged():
    store = Store("d")
    store.overwrite("numbers", numbers([1]), NUMBERS)
    for path in Path(store.uri).glob("**/numbers.lance/data/*"):
        path.unlink()
    with pytest.raises(DamagedError, match="'numbers' of dataset 'd' is damaged: restore"):
        Store("d").read("numbers", ["id"])


def test_stamps_never_repeat_even_where_a_table_is_made_again():
    store = Store("d")
    seen = set()
    for _ in range(3):
        store.overwrite("numbers", numbers([1]), NUMBERS)
        seen.add(store.stamp("numbers"))
        store.drop("numbers")
    assert len(seen) == 3


def test_an_error_while_rows_are_made_commits_nothing_and_keeps_its_words():
    store = Store("d")
    store.overwrite("numbers", numbers([1]), NUMBERS)

    def broken():
        yield numbers([2]).to_batches()[0]
        raise LabelAuditError("row 2 is bad")

    with pytest.raises(LabelAuditError, match=r"^row 2 is bad$"):
        store.append("numbers", broken(), NUMBERS)
    with pytest.raises(LabelAuditError, match=r"^row 2 is bad$"):
        store.overwrite("numbers", broken(), NUMBERS)
    assert rows(store) == {1: 0}


def test_a_first_write_that_failed_leaves_no_table():
    def batches():
        yield from numbers(range(5)).to_batches()
        raise LabelAuditError("the model is gone")

    store = Store("d")
    store.overwrite("other", numbers([1]), NUMBERS)
    with pytest.raises(LabelAuditError, match="the model is gone"):
        store.overwrite("numbers", batches(), NUMBERS)
    assert not store.exists("numbers")
    assert store.read("numbers", ["id"]) is None
    store.upsert("numbers", numbers([7]), NUMBERS)
    assert rows(store) == {7: 0}
    with pytest.raises(LabelAuditError, match="the model is gone"):
        store.overwrite("third", batches(), NUMBERS)
    store.drop("third")
    assert sorted(store.tables()) == ["numbers", "other"]


def test_a_failed_write_names_the_table_and_the_place(home):
    store = Store("d")
    store.overwrite("numbers", numbers([1]), NUMBERS)
    other = pa.table({"id": pa.array([2]), "other": pa.array(["x"])})
    with pytest.raises(LabelAuditError, match=r"'numbers' of dataset 'd' under .*unchanged"):
        store.upsert("numbers", other, other.schema)
    assert rows(store) == {1: 0}


UPSERT = """
import sys
from pathlib import Path
from tests.test_tables import NUMBERS, Store, numbers
start = int(sys.argv[1])
for i in range(8):
    Store("d").upsert("numbers", numbers(range(start, start + 50), value=i), NUMBERS)
"""


@pytest.mark.system
def test_two_processes_that_upsert_the_same_new_ids_make_no_duplicates(home):
    Store("d").overwrite("numbers", numbers([1]), NUMBERS)
    workers = [Program(UPSERT, 100) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    ids = Store("d").read("numbers", ["id"])["id"].to_pylist()
    assert sorted(ids) == [1, *range(100, 150)]


def test_the_primary_key_survives_an_overwrite():
    store = Store("d")
    for _ in range(2):
        store.overwrite("numbers", numbers([1]), NUMBERS)
        field = store._handle("numbers").schema.field("id")
        assert not field.nullable
        assert b"lance-schema:unenforced-primary-key:position" in field.metadata


HOLD = """
from labelaudit.storage.tables import Store
with Store("d").transaction():
    print("held", flush=True)
    input()
"""


@pytest.mark.system
def test_one_writer_at_a_time(monkeypatch):
    monkeypatch.setattr("labelaudit.storage.writer_lock.LOCK_SECONDS", 0.3)
    other = Program(HOLD)
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(LabelAuditError, match="written to by another process"),
        Store("d").transaction(),
    ):
        pass
    print(file=other.stdin, flush=True)
    assert other.wait() == 0
    store = Store("d")
    with store.transaction(), store.transaction():  # re-entrant
        pass


def test_many_small_commits_are_compacted():
    store = Store("d")
    store.overwrite("numbers", numbers([0]), NUMBERS)
    for i in range(1, 110):
        store.append("numbers", numbers([i]), NUMBERS)
    fragments = store._handle("numbers").stats()["fragment_stats"]["num_fragments"]
    assert fragments < 70
    assert len(rows(store)) == 110
