"""A note per sample: written while reviewing, and read everywhere."""

from __future__ import annotations

import csv

import pytest

from labelaudit import Dataset, LabelAuditError, QueueFilter, make_queue, write_labels
from labelaudit.export import suspects_csv
from labelaudit.review.notes import NOTE_LENGTH, notes_of, with_note, write_note


def test_a_note_is_written_changed_and_deleted(make_dataset):
    dataset = make_dataset(5)
    assert notes_of(dataset.view().frame, [1, 2]) == ["", ""]
    assert with_note(dataset.view()).ids.tolist() == []
    write_note(dataset, 2, "  ask Ben\r\n=1+1  ", "")
    read = Dataset(dataset.name)
    assert read[2].note == "ask Ben\n=1+1"
    assert read.view().values("note").tolist().count(None) == 4
    assert with_note(read.view()).ids.tolist() == [2]
    write_note(dataset, 2, "", "ask Ben\n=1+1")
    assert with_note(Dataset(dataset.name).view()).ids.tolist() == []


def test_a_note_of_another_window_is_not_overwritten_unseen(make_dataset):
    dataset = make_dataset(5)
    write_note(dataset, 2, "mine", "")
    with pytest.raises(LabelAuditError, match=r"changed in another window \(mine\)"):
        write_note(dataset, 2, "yours", "")
    write_note(dataset, 2, "mine", "")  # the same text, sent twice
    assert dataset[2].note == "mine"
    with pytest.raises(LabelAuditError, match="shorten it to 2,000"):
        write_note(dataset, 2, "x" * (NOTE_LENGTH + 1), "mine")
    with pytest.raises(LabelAuditError, match="no sample with id 99"):
        write_note(dataset, 99, "where", "")


def test_another_field_of_this_name_is_kept(make_dataset):
    dataset = make_dataset(5)
    dataset.add_field("note", "number")
    dataset.set_values("note", [1], 3.5)
    assert notes_of(dataset.view().frame, [1]) == [""]
    with pytest.raises(LabelAuditError, match="'note' of dataset 'plain' is a number already"):
        write_note(dataset, 1, "text", "")
    assert dataset[1].note == 3.5


def test_notes_are_filtered_by_and_exported(audited, tmp_path):
    right = int(audited.view().match(wrong=False).ids[5])
    queue = make_queue(audited, QueueFilter(), "ann")
    before = audited.view().fields.stamp(own=False)
    write_note(audited, int(queue.ids[3]), "blurred", "")
    write_note(audited, right, "a, typical 3", "")
    wanted = make_queue(audited, QueueFilter(noted=True), "ann").ids.tolist()
    assert sorted(wanted) == sorted([int(queue.ids[3]), right])  # also if it is no suspect
    assert audited.view().fields.stamp() != audited.view().fields.stamp(own=False) != before
    write_labels(audited, tmp_path / "labels.csv")
    for text in ((tmp_path / "labels.csv").read_text(), suspects_csv(audited.view()).decode()):
        notes = {int(row["id"]): row["note"] for row in csv.DictReader(text.splitlines())}
        assert {sample: note for sample, note in notes.items() if note} == {
            int(queue.ids[3]): "blurred",
            right: "a, typical 3",
        }
