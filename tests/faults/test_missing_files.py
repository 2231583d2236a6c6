"""Missing source images: the audit continues without them and reports it."""

from __future__ import annotations

import numpy as np
import pytest
from operations import images
from PIL import Image

import labelaudit
from labelaudit import Dataset, LabelAuditError, TrainConfig
from labelaudit.ui.images import pictures

QUICK = TrainConfig(epochs=2, threads=1, batch_size=8, image_size=16)
GONE = [3, 10, 11]  # ids


@pytest.fixture
def pets(home, tmp_path) -> Dataset:
    """40 images in files, the last ten of them a test split, that nobody has opened so far."""
    folder = tmp_path / "pets"
    folder.mkdir()
    pixels, labels = images(40)
    paths = [str(folder / f"{i}.png") for i in range(1, 41)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    names = np.array(["flat", "tall"])[labels].tolist()
    rows = {"filepath": paths, "label": names, "split": ["train"] * 30 + ["test"] * 10}
    return labelaudit.dataset.dataset.create_dataset("pets", rows)


def lose(dataset: Dataset, ids, tmp_path) -> None:
    for i in ids:
        (tmp_path / "pets" / f"{i}.png").unlink()


@pytest.mark.parametrize("memory_gb", [2, 0])  # held in memory, read in every epoch
@pytest.mark.parametrize("folds", [1, 2])
def test_an_audit_continues_without_what_is_missing(pets, tmp_path, memory_gb, folds):
    lose(pets, GONE, tmp_path)
    (tmp_path / "pets" / "35.png").write_bytes(b"no image")
    unread = [*GONE, 35]
    config = TrainConfig(**{**QUICK.to_dict(), "memory_gb": memory_gb, "folds": folds})
    result = labelaudit.audit(pets, config=config)
    run, ids = pets.run("run-1"), pets.view().ids
    assert (run.info["learned"], run.info["held_out"], run.info["unreadable"]) == (27, 9, 4)
    note = run.info["notes"][0]
    assert note.startswith("4 of 40 images could not be read: left out (such as ")
    there = ~np.isin(ids, unread)
    assert np.isfinite(run.dynamics(ids).margin[:, there]).all()
    assert np.isnan(run.dynamics(ids).margin[:, ~there]).all()
    for name in ("run-1", "first-look"):
        view = pets.view(name)
        assert np.array_equal(np.isfinite(view.values("confidence").astype(float)), there)
        for score in view.score_names():
            assert np.isnan(view.values(score).astype(float)[~there]).all(), score
    assert ids[pets.view().frame.tagged("processed")].tolist() == ids[there].tolist()
    assert not set(unread) & set(result.suspects.ids.tolist())
    assert np.isfinite(run.class_curves()).all()


def test_accuracy_counts_only_what_was_seen(pets, tmp_path):
    lose(pets, range(31, 40), tmp_path)  # one test image is left: all or nothing
    run = labelaudit.train(pets, config=QUICK)
    assert run.info["validation_accuracy"] in (0.0, 1.0)
    lose(pets, [40], tmp_path)
    assert labelaudit.train(pets, config=QUICK).info["validation_accuracy"] is None


def test_predicting_says_what_it_left_out(pets, tmp_path, caplog):
    labelaudit.train(pets, "whole", config=QUICK)
    lose(pets, GONE, tmp_path)
    assert labelaudit.predict(pets) == 37
    assert "3 of 40 images could not be read" in caplog.text
    assert "no prediction of run 'whole'" in caplog.text
    Image.new("RGB", (12, 12)).save(tmp_path / "pets" / "3.png")  # put back
    caplog.clear()
    assert labelaudit.predict(pets.view().select([3, 4])) == 2
    assert caplog.text == ""


def test_a_class_without_a_readable_image_was_not_learned(pets, tmp_path):
    pets.add_samples({"filepath": [str(tmp_path / "pets" / "41.png")], "label": ["odd"]})
    info = labelaudit.train(pets, config=QUICK).info
    assert info["untaught"] == ["odd"]
    assert "no sample of class 'odd' was learned" in info["notes"][-1]


def test_where_all_are_missing_each_step_says_one_sentence(pets, tmp_path):
    labelaudit.train(pets, "early", config=QUICK)
    lose(pets, range(1, 41), tmp_path)
    runs = pets.runs
    unheld = TrainConfig(**{**QUICK.to_dict(), "memory_gb": 0})
    sized = TrainConfig(epochs=1, threads=1)
    for step in (
        lambda: labelaudit.train(pets, config=QUICK),
        lambda: labelaudit.train(pets, config=unheld),
        lambda: labelaudit.train(pets, config=sized),  # which looks for the size
        lambda: labelaudit.predict(pets),
        lambda: labelaudit.first_look(pets),
    ):
        with pytest.raises(LabelAuditError, match=r"^none of the \d+ images can be read.*\.png"):
            step()
    assert pets.runs == runs
    assert not pets.run("early").has_predictions()
    assert pets.unfinished_runs == []


def test_training_needs_two_classes_that_can_be_read(pets, tmp_path):
    lose(pets, range(2, 31, 2), tmp_path)  # all that is tall
    with pytest.raises(LabelAuditError, match=r"the 15 samples .* all of one class.* 15 of 40"):
        labelaudit.train(pets, config=QUICK)
    with pytest.raises(LabelAuditError, match="all of one class"):
        labelaudit.first_look(pets.view().match(split="train"))


def test_an_image_that_is_put_back_is_shown_again(pets, tmp_path):
    kept = (tmp_path / "pets" / "3.png").read_bytes()
    lose(pets, [3], tmp_path)
    shown = [picture.uri for picture in pictures(("pets",), pets.view().head(3))]
    assert [uri is None for uri in shown] == [False, False, True]
    (tmp_path / "pets" / "3.png").write_bytes(kept)
    assert pictures(("pets",), pets.view().head(3))[2].uri is not None
