"""The first look after a sync: what is kept, what is predicted with the stored fit, and when it is
fitted again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labelaudit
from labelaudit.features.extractors import AUTO
from labelaudit.learn import earlier_runs, first_look_fit
from labelaudit.learn.earlier_runs import earlier_first_look
from labelaudit.scores.out_of_sample import OthersPredictor
from labelaudit.storage.schema import REMOVED

CLASSES = ("cat", "dog", "pig")
KNOWN = 60
RNG = np.random.default_rng(3)
PICTURES = RNG.integers(0, 256, (len(CLASSES), 8, 8))
AUDIT = {"train": False, "features": "pixels"}


def write(path: Path, shows: str, seed: int) -> None:
    """Write an image that shows a class."""
    noise = np.random.default_rng(seed).normal(0, 40, (8, 8))
    pixels = (PICTURES[CLASSES.index(shows)] + noise).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def audited_home(build_once):
    """A home with an audited folder of 60 images, one of which has a wrong label."""

    def build(home: Path) -> None:
        for i in range(KNOWN):
            write(home / "pets" / CLASSES[i % 3] / f"{i:03}.png", CLASSES[i % 3], i)
        write(home / "pets/cat/wrong.png", "pig", 500)
        labelaudit.audit(labelaudit.load_dataset("pets", home / "pets"), **AUDIT)

    return build_once("looked-at-pets", build)


@pytest.fixture
def root(audited_home, home, monkeypatch):
    monkeypatch.setattr(earlier_runs, "LEAST_KEPT", 10)
    shutil.copytree(audited_home / "datasets", home / "datasets")
    shutil.copytree(audited_home / "pets", home / "pets", copy_function=shutil.copy2)
    dataset = labelaudit.Dataset("pets")
    labelaudit.apply_sync(dataset, labelaudit.plan_sync(dataset, source=home / "pets"))
    return home / "pets"


@pytest.fixture
def pets(root):
    return labelaudit.Dataset("pets")


def follow(dataset) -> None:
    labelaudit.apply_sync(dataset, labelaudit.plan_sync(dataset))


def logits(dataset, run: str = "first-look") -> dict[int, np.ndarray]:
    batches = dataset.run(run).logits()
    return {int(i): row for ids, rows in batches for i, row in zip(ids, rows, strict=True)}


def id_of(dataset, name: str) -> int:
    table = dataset.view().to_pandas()
    return int(table.id[table.filepath.str.endswith(name)].iloc[-1])


def suspicion(dataset) -> dict[int, float]:
    view = dataset.view("first-look")
    return dict(zip(view.ids.tolist(), view.values("suspicion"), strict=True))


def test_new_images_are_predicted_with_the_stored_fit_as_by_a_new_one(root, pets):
    before = logits(pets)
    write(root / "dog/new.png", "dog", 100)
    write(root / "dog/new-wrong.png", "cat", 101)
    (root / "cat/000.png").rename(root / "pig/000.png")  # relabelled
    follow(pets)
    result = labelaudit.audit(pets, **AUDIT)
    assert result.training_note.startswith(
        "The first look kept the predictions of 61 images and predicted 2 new images with its "
        "stored fit: 4.8% of the labels are new or changed since run first-look, at most 10%"
    )
    after = logits(pets)
    assert all(np.array_equal(after[i], row) for i, row in before.items())
    assert len(after) == 63
    labelaudit.first_look(pets, "new-fit", features="pixels")
    new = logits(pets, "new-fit")
    assert [row.argmax() for row in new.values()] == [row.argmax() for row in after.values()]
    wrong = {id_of(pets, name) for name in ("new-wrong.png", "cat/wrong.png", "pig/000.png")}
    assert {i for i, p in suspicion(pets).items() if p > 0.5} == wrong
    again = labelaudit.audit(pets, **AUDIT)
    assert "predicted 0 new images" in again.training_note
    labelaudit.first_look(pets, features="pixels")  # fits it again
    assert labelaudit.audit(pets, **AUDIT).training_note is None


def test_it_is_fitted_again_when_much_is_new(root, pets):
    before = logits(pets)
    for i in range(7):
        write(root / CLASSES[i % 3] / f"new-{i}.png", CLASSES[i % 3], 100 + i)
    follow(pets)
    note = labelaudit.audit(pets, **AUDIT).training_note
    assert note == (
        "The first look was fitted to all images again: 10.3% of the labels are new or changed "
        "since run first-look, over 10%."
    )
    assert not all(np.array_equal(logits(pets)[i], row) for i, row in before.items())
    assert earlier_first_look(pets, "pixels") is None  # nothing was synced since


def test_a_removed_or_restored_image_counts(root, pets):
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    pets.tag(pets.view().ids[:5], REMOVED)
    earlier = earlier_first_look(pets, "pixels")
    assert (earlier.changed, earlier.labelled, earlier.serves) == (6, 62, True)
    pets.untag(pets.view().ids[:5], REMOVED)
    assert earlier_first_look(pets, "pixels").changed == 6
    pets.tag(pets.view().ids[5:7], REMOVED)
    assert not earlier_first_look(pets, "pixels").serves


def new_class(root, pets) -> None:
    write(root / "yak/one.png", "cat", 100)
    follow(pets)


def class_that_grew(root, pets) -> None:
    for path in sorted((root / "pig").iterdir())[1:]:
        path.unlink()
    follow(pets)
    labelaudit.audit(pets, **AUDIT)
    for i in range(2):
        write(root / f"pig/new-{i}.png", "pig", 100 + i)
    follow(pets)


def merged(root, pets) -> None:
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    labelaudit.change_classes(pets, labelaudit.plan_classes(pets, merge={"pig": "dog"}))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (new_class, "run first-look knows too few images of class 'yak'"),
        (class_that_grew, "run first-look knows too few images of class 'pig'"),
        (merged, "classes were merged or separated since run first-look"),
    ],
)
def test_it_is_fitted_again_when_classes_changed(root, pets, monkeypatch, change, why):
    monkeypatch.setattr(earlier_runs, "MOST_CHANGED", 0.9)
    change(root, pets)
    earlier = earlier_first_look(pets, "pixels")
    assert (earlier.serves, earlier.why) == (False, why)


def test_another_look_is_not_used(root, pets, monkeypatch):
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    assert earlier_first_look(pets, "pixels").serves
    assert earlier_first_look(pets, AUTO) is None
    with monkeypatch.context() as patch:
        patch.setattr(earlier_runs, "LEAST_KEPT", 100)
        assert earlier_first_look(pets, "pixels") is None
    pets.add_samples([{"filepath": str(root / "dog/new.png"), "label": "dog"}])  # without a sync
    assert earlier_first_look(pets, "pixels") is None
    labelaudit.first_look(pets.view().limit(40), features="pixels")
    write(root / "dog/more.png", "dog", 101)
    follow(pets)
    assert earlier_first_look(pets, "pixels") is None  # that of some samples


def test_new_features_make_it_fit_again(root, pets, monkeypatch):
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    other = (
        "The first look was fitted to all images again: its stored fit is of other features or of "
        "another version."
    )
    with monkeypatch.context() as patch:
        patch.setattr(first_look_fit, "VERSION", 2)
        assert labelaudit.audit(pets, **AUDIT).training_note == other
    ids = pets.view().ids
    mine = RNG.standard_normal((len(ids), 5))
    labelaudit.import_features(pets, mine, "mine", by="order")
    labelaudit.first_look(pets, features="mine")
    write(root / "dog/more.png", "dog", 101)
    follow(pets)
    labelaudit.import_features(pets, np.vstack([mine, mine[:1]]) * 2, "mine", by="order")
    before = logits(pets)
    assert labelaudit.audit(pets, train=False, features="mine").training_note == other
    assert len(logits(pets)) == len(before) + 1


@pytest.mark.parametrize("corrected", [False, True])
def test_a_new_copy_of_a_wrong_image_does_not_vouch_for_itself(root, pets, corrected):
    if corrected:  # after the fit learned the wrong label
        pets.set_labels([id_of(pets, "cat/wrong.png")], "pig")
    shutil.copy(root / "cat/wrong.png", root / "cat/copy.png")
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    (root / "dog/new.png").write_bytes(b"no image")
    labelaudit.audit(pets, **AUDIT)
    notes = pets.run("first-look").info["notes"]
    assert notes == ["1 of 63 images could not be read: left out"]
    known, copy = id_of(pets, "cat/wrong.png"), id_of(pets, "cat/copy.png")
    after = logits(pets)
    assert np.array_equal(after[copy], after[known])
    assert suspicion(pets)[copy] > 0.5


def test_an_error_leaves_what_was_there_and_the_next_audit_completes_it(root, pets, monkeypatch):
    write(root / "dog/new.png", "dog", 100)
    follow(pets)
    before, run = logits(pets), pets.run("first-look").id

    def fails(*_) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(OthersPredictor, "predict", fails)
        with pytest.raises(OSError, match="disk full"):
            labelaudit.audit(pets, **AUDIT)
    after = logits(pets)
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[i], row) for i, row in before.items())
    labelaudit.audit(pets, **AUDIT)
    assert len(logits(pets)) == len(before) + 1
    assert pets.run("first-look").id == run
