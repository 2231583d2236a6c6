"""Sources in object storage: folders, zips and lists, on a store in memory."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import labelaudit
from labelaudit import LabelAuditError
from labelaudit.storage import object_store
from labelaudit.storage.allowed_roots import check_inside, configured_roots, is_inside
from labelaudit.ui import paths


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pets(bucket):
    """Images in class folders with splits, the same images as a zip, and lists of them."""
    archive, lines = io.BytesIO(), []
    with zipfile.ZipFile(archive, "w") as file:
        for i in range(40):
            name = f"{('train', 'val')[i % 2]}/{('cat', 'dog')[i // 2 % 2]}/{i} ü%.png"
            object_store.write(f"{bucket}/pets/{name}", png(i))
            file.writestr(name, png(i))
            lines.append(f"../pets/{name},{'ab'[i % 2]}")
    object_store.write(f"{bucket}/pets/train/cat/broken.png", b"none")
    object_store.write(f"{bucket}/pets/.trash/cat/x.png", png(0))
    object_store.write(f"{bucket}/pets/README.txt", b"about")
    object_store.write(f"{bucket}/zips/pets.zip", archive.getvalue())
    lines += [f"{bucket}/pets/train/cat/0 ü%.png,c", "nowhere.png,c"]
    object_store.write(f"{bucket}/lists/pets.csv", "\n".join(["filepath,label", *lines]).encode())
    table = pd.DataFrame({"filepath": [line.split(",")[0][8:] for line in lines[:40]],
                          "label": ["a", "b"] * 20})  # fmt: skip
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    object_store.write(f"{bucket}/lists/pets.parquet", buffer.getvalue())
    return bucket


def test_a_folder_in_object_storage_is_a_source(pets):
    dataset = labelaudit.load_dataset("pets", f"{pets}/pets/")
    assert dataset.info["splits"] == {"train": 20, "val": 20}
    assert dataset.classes == ["cat", "dog"]
    (skipped,) = dataset.info["skipped"]["files"]
    assert skipped["file"] == "train/cat/broken.png"
    first = dataset.view().head(1)[0]
    assert first.filepath == "train/cat/0 ü%.png"
    assert dataset.info["source"] == f"{pets}/pets"
    object_store.delete_below(f"{pets}/pets")  # it was copied
    images = {np.asarray(sample.image).tobytes() for sample in dataset.view()}
    assert images == {np.asarray(Image.open(io.BytesIO(png(i)))).tobytes() for i in range(40)}


def test_zips_and_lists_in_object_storage_are_sources(pets):
    zipped = labelaudit.load_dataset("a", f"{pets}/zips/pets.zip")
    assert zipped.info["splits"] == {"train": 20, "val": 20}
    listed = labelaudit.load_dataset("b", f"{pets}/lists/pets.csv")
    assert listed.view().count_values("ground_truth") == {"a": 20, "b": 20, "c": 1}
    assert [f["why"] for f in listed.info["skipped"]["files"]] == ["there is no such file"]
    rooted = labelaudit.load_dataset("c", f"{pets}/lists/pets.parquet", root=f"{pets}/pets")
    assert rooted.view().head(1)[0].filepath == "train/cat/0 ü%.png"
    assert rooted.view().head(1)[0].image.size == (12, 10)
    with pytest.raises(LabelAuditError, match="must be in object storage like"):
        labelaudit.load_dataset("d", f"{pets}/lists/pets.csv", root="/tmp")


def test_a_large_image_waits_for_its_turn(pets, monkeypatch):
    from labelaudit.sources import bucket

    monkeypatch.setattr(bucket, "PREFETCH_BYTES", 100)
    monkeypatch.setattr(bucket, "MAX_MEMBER_BYTES", len(png(3)))
    dataset = labelaudit.load_dataset("pets", f"{pets}/pets")
    assert len(dataset) + dataset.info["skipped"]["count"] == 41
    assert len(dataset) > 0


def test_storage_that_fails_on_the_way_is_no_fault_of_the_images(pets, monkeypatch):
    read, asked = object_store.read_up_to, []

    def fails(uri, limit):
        asked.append(uri)
        if len(asked) > 10:
            raise LabelAuditError("s3://x cannot be reached")
        return read(uri, limit)

    monkeypatch.setattr(object_store, "read_up_to", fails)
    with pytest.raises(LabelAuditError, match="cannot be reached"):
        labelaudit.load_dataset("pets", f"{pets}/pets")
    assert labelaudit.list_datasets() == []


def test_within_roots_no_other_bucket_can_be_named(pets, monkeypatch):
    monkeypatch.setenv("LABELAUDIT_ROOTS", f"/data:{pets}/pets/:/mnt")
    roots = configured_roots()
    assert roots == ("/data", f"{pets}/pets", "/mnt")
    for inside in ("pets", "pets/", "pets/train/../val", "pets//train"):
        assert is_inside(f"{pets}/{inside}", roots)
        assert paths.typed(f"{pets}/{inside}", remote=True).startswith(f"{pets}/pets")
    for outside in (f"{pets}/petsx", f"{pets}/pets/../lists", pets, "s3://other/pets", "s3://",
                    f"gs{pets[2:]}/pets", f"{pets[:5]}other/../{pets[5:]}/pets"):  # fmt: skip
        assert not is_inside(outside, roots)
        with pytest.raises(LabelAuditError, match="lies outside"):
            paths.typed(outside, remote=True)
    with pytest.raises(LabelAuditError, match="enter a path on this machine"):
        paths.typed(f"{pets}/pets")  # where a model or an export is meant
    assert not is_inside(f"{pets}/pets", ("/",))
    assert check_inside(f"{pets}/pets/./train", roots) == f"{pets}/pets/train"
    with pytest.raises(LabelAuditError, match="lies outside"):
        labelaudit.load_dataset("x", f"{pets}/zips/pets.zip", within=roots)
    with pytest.raises(LabelAuditError, match="is outside the folders that may be used here"):
        labelaudit.load_dataset("x", f"{pets}/lists/pets.csv", within=[f"{pets}/lists"])
    assert len(labelaudit.load_dataset("x", f"{pets}/pets", within=roots)) == 40


@pytest.mark.parametrize(("source", "said"), [
    ("s3://bucket/nothing-here", "there is nothing at s3://bucket/nothing-here: check the name"),
    ("s3://bucket/nothing.zip", "there is nothing at s3://bucket/nothing.zip: check the name"),
    ("{pets}/pets/train/dog", "none of the 10 images in s3://bucket/.* is in a class folder"),
    ("{pets}/lists/../pets/README.txt", "there is nothing at"),
])  # fmt: skip
def test_sources_that_are_none_are_one_sentence(pets, source, said):
    with pytest.raises(LabelAuditError, match=said):
        labelaudit.load_dataset("x", source.format(pets=pets))
    assert labelaudit.list_datasets() == []
