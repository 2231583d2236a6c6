"""A fingerprint stands for images and labels, wherever they are."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from test_cli import cli

import labelaudit
from labelaudit.core.errors import BadInputError, DamagedError
from labelaudit.dataset.state_fingerprint import dataset_fingerprint
from labelaudit.export import manifest_bytes, suspects_csv
from labelaudit.export.provenance import as_line, download_name
from labelaudit.features.duplicates import write_duplicates
from labelaudit.living.recorded_state import recorded_state
from labelaudit.living.verify import IMAGES, LABELS
from labelaudit.patch import make_patch


def test_an_export_equals_the_state_that_it_was_made_of(tmp_path, picture, monkeypatch):
    for i in range(8):
        picture(tmp_path / "pets" / ("train", "test")[i % 2] / "abcd"[i // 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    (tmp_path / "pets/train/a/broken.png").write_bytes(b"no image")
    loaded = labelaudit.verify(dataset, tmp_path / "pets")
    assert (loaded.equal, loaded.fingerprint) == (True, loaded.other)
    dataset.set_labels([1], "b")
    dataset.set_labels([2], None)
    dataset.tag([3], "removed")
    changed = labelaudit.verify(dataset, tmp_path / "pets")
    assert (changed.equal, changed.missing, changed.extra, changed.relabelled) == (False, 0, 1, 2)
    state = changed.fingerprint
    for format in ("coco", "folders", "fiftyone", "label-studio", "huggingface"):
        exported = labelaudit.export_dataset(dataset.view(), tmp_path / format, format)
        assert exported.fingerprint == state
        if format != "huggingface":  # whose images the package `datasets` reads
            assert labelaudit.verify(dataset, tmp_path / format).equal, format
    for name in (
        "coco/instances_test.json", "folders/labels.csv", "folders/labels.classes.json",
        "huggingface/README.md", "huggingface/data/train-00000-of-00001.parquet",
        "label-studio/README.txt", "label-studio/tasks.json", "fiftyone/metadata.json",
    ):  # fmt: skip
        found = labelaudit.verify(dataset, tmp_path / name)
        assert (found.equal, found.recorded) == (True, state), name
    part = labelaudit.verify(dataset, tmp_path / "coco/instances_test.json")
    assert part.part == (3, 7)
    assert labelaudit.__version__ in (tmp_path / "coco/instances_test.json").read_text()
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "coco")
    assert labelaudit.verify(dataset, tmp_path / "zipped.zip").equal
    dataset.set_labels([5], "d")
    later = labelaudit.verify(dataset, tmp_path / "label-studio")
    assert (later.equal, later.relabelled, later.recorded) == (False, 1, state)
    assert f"It was written from another state, {state}." in str(later)
    assert not labelaudit.verify(dataset, tmp_path / "huggingface/README.md").equal
    now = cli("verify", "pets").stdout.strip()
    monkeypatch.chdir(tmp_path)
    data = json.loads(cli("verify", "pets", now[:12], "--json").stdout)
    assert data["equal"]
    assert "2 missing" not in cli("verify", "pets", "pets", code=3).stdout
    assert "1 additional, 3 labelled differently" in cli("verify", "pets", "pets", code=3).stdout
    assert f"fingerprint {now}, not 0" in cli("verify", "pets", "0" * 12, code=3).stdout


@pytest.fixture
def pets(tmp_path, picture):
    for i in range(6):
        picture(tmp_path / "pets" / "ab"[i % 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    dataset.tag([6], "removed")
    return dataset


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_is_compared_with_the_state_that_it_names(pets, tmp_path, suffix):
    table = tmp_path / f"labels{suffix}"
    labelaudit.write_labels(pets, table)
    found = labelaudit.verify(pets, table)
    assert (found.equal, found.recorded, found.edited) == (True, found.fingerprint, False)
    assert found.compared == IMAGES
    labelaudit.write_labels(pets.view().match(label="a"), table)
    part = labelaudit.verify(pets, table)
    assert (part.equal, part.part, part.missing) == (True, (3, 5), 0)
    assert "has 3 of the 5 images of pets, with the same labels" in str(part)
    shutil.rmtree(tmp_path / "pets")  # the table alone is here
    alone = labelaudit.verify(pets, table)
    assert (alone.equal, alone.compared) == (True, LABELS)
    assert "compared by id, because none of its images is here" in str(alone)
    pets.set_labels([1], "b")
    later = labelaudit.verify(pets, table)
    assert (later.equal, later.relabelled, later.is_from_now) == (False, 1, False)


def test_a_table_that_was_edited_does_not_count_by_its_fingerprint(pets, tmp_path):
    table = tmp_path / "labels.csv"
    labelaudit.write_labels(pets, table)
    head, *rows = table.read_text().splitlines()
    for name, lines, differences, words in (
        ("sorted anew", rows[::-1], (0, 0, 0), "this state, and changed afterwards"),
        ("a label", [rows[0].replace('"a"', '"b"'), *rows[1:]], (0, 0, 1), "changed afterwards"),
        ("a row less", rows[1:], (1, 0, 0), "1 image missing, 0 additional"),
    ):
        table.write_text("\n".join([head, *lines]) + "\n")
        found = labelaudit.verify(pets, table)
        assert (found.missing, found.extra, found.relabelled) == differences, name
        assert found.equal == (not any(differences)), name
        assert found.edited, name
        assert words in str(found), name
    (tmp_path / "labels.csv.provenance.json").unlink()
    assert labelaudit.verify(pets, table).recorded is None
    labelaudit.find_duplicates(pets)
    groups = tmp_path / "duplicates.csv"
    write_duplicates(pets, groups)
    assert labelaudit.verify(pets, groups).equal
    beside = tmp_path / "duplicates.csv.provenance.json"
    beside.unlink()
    with groups.open("r+") as file:
        write_duplicates(pets, f"/dev/fd/{file.fileno()}")  # as the shell redirects it
    assert beside.exists()
    groups.write_text(groups.read_text() + "\n")
    found = labelaudit.verify(pets, groups)
    assert (found.equal, found.is_from_now, found.edited) == (False, True, True)
    assert "changed after it was written. Only the fingerprint was compared." in str(found)


def test_suspects_patches_and_downloads_name_their_state(pets, tmp_path):
    labelaudit.write_suspects(pets, tmp_path / "suspects.csv")
    found = labelaudit.verify(pets, tmp_path / "suspects.csv")
    assert (found.equal, found.part) == (True, (6, 6))
    pets.set_labels([1], "b")
    none = pets.view().match_tag("new-in-sync")  # an empty table is a state, too
    labelaudit.write_suspects(none, tmp_path / "none.csv")
    assert labelaudit.verify(pets, tmp_path / "none.csv").equal
    (tmp_path / "none.csv").write_text((tmp_path / "none.csv").read_text() + "\n")
    assert not labelaudit.verify(pets, tmp_path / "none.csv").equal
    patch = labelaudit.write_patch(pets, tmp_path / "pets.labels.jsonl")
    assert labelaudit.verify(pets, tmp_path / "pets.labels.jsonl").equal
    assert labelaudit.read_patch(tmp_path / "pets.labels.jsonl").changes == patch.changes
    assert not labelaudit.verify(pets, tmp_path / "suspects.csv").equal
    view = pets.view()
    downloads = (
        ("pets-labels", manifest_bytes(view, "pets-labels.csv", False, False), 3),
        ("pets-run-1-suspects", suspects_csv(view), 4),  # with the removed one
    )
    for stem, data, labelled_b in downloads:
        name = download_name(view, stem, ".csv").replace(".csv", " (1).csv")
        (tmp_path / name).write_bytes(data)
        assert labelaudit.verify(pets, tmp_path / name).is_from_now
        assert labelaudit.verify(pets, tmp_path / name).equal
        (tmp_path / name).write_bytes(data.replace(b'"b"', b'"a"'))
        assert labelaudit.verify(pets, tmp_path / name).relabelled == labelled_b


def test_files_without_a_state_or_with_several_are_refused(pets, tmp_path, picture):
    labelaudit.export_dataset(pets, tmp_path / "one", "label-studio")
    pets.set_labels([1], "b")
    labelaudit.export_dataset(pets, tmp_path / "two", "label-studio")
    texts = [(tmp_path / name / "README.txt").read_text() for name in ("one", "two")]
    both = tmp_path / "both.txt"
    both.write_text("".join(texts))
    with pytest.raises(BadInputError, match=r"names 2 states of a dataset .*, .*: give a file"):
        labelaudit.verify(pets, both)
    both.write_text(texts[1] * 2)
    assert labelaudit.verify(pets, both).equal
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(both, "README.txt")
    data = bytearray(packed.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + flags] |= 1  # encrypted
    packed.write_bytes(data)
    with pytest.raises(DamagedError, match=r"packed.zip cannot be read: File 'README.txt' is enc"):
        labelaudit.verify(pets, packed)
    patch = make_patch(pets)
    merged, _ = labelaudit.merge_patches([replace(patch, name="a"), replace(patch, name="b")])
    merged.write(tmp_path / "merged.labels.jsonl")  # of several states
    with pytest.raises(DamagedError, match="has no fingerprint of LabelAudit, and is no list"):
        labelaudit.verify(pets, tmp_path / "merged.labels.jsonl")
    both.write_text("labelaudit: {no record}")
    with pytest.raises(BadInputError, match=r"both.txt has no fingerprint of LabelAudit"):
        labelaudit.verify(pets, both)
    with pytest.raises(BadInputError, match="for the current folder"):
        labelaudit.verify(pets, "")
    pets.add_samples([{"filepath": str(tmp_path / "no.png"), "label": "a"}])
    labelaudit.write_suspects(pets, tmp_path / "suspects.csv")  # the hash of an image is not known
    with pytest.raises(BadInputError, match="so it names no state"):
        recorded_state(tmp_path / "suspects.csv")


def test_a_provenance_cannot_end_the_comment_that_it_is_in():
    line = as_line({"dataset": "a--><b>--"})
    assert not {"<", ">"} & set(line)
    assert "--" not in line
    assert json.loads(line.removeprefix("labelaudit: ")) == {"dataset": "a--><b>--"}


def test_arrays_have_a_fingerprint_and_unknown_hashes_none(home, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (8, 6, 6), dtype=np.uint8)
    dataset = labelaudit.load_arrays("arrays", images, [0, 1] * 4)
    frame = dataset.view().frame
    first = dataset_fingerprint(frame)
    dataset.tag([1], "odd")
    assert dataset_fingerprint(frame) == first
    dataset.set_labels([1], "1")
    assert dataset_fingerprint(frame) != first
    dataset.add_samples([{"filepath": str(tmp_path / "no.png"), "label": "x"}])
    assert dataset_fingerprint(frame) is None
    with pytest.raises(BadInputError, match="load it once more"):
        labelaudit.verify(dataset, None)
