from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import labelaudit
from labelaudit.core.errors import BadInputError, LabelAuditError, StoppedError
from labelaudit.core.images import encode
from labelaudit.core.progress import Task
from labelaudit.jobs import files, manager
from labelaudit.learn import first_look as module
from labelaudit.learn.first_look import blocks_of_groups, whole_groups
from labelaudit.pipeline import take_first_look
from labelaudit.scores.out_of_sample import Predictor

QUICK = labelaudit.TrainConfig(epochs=1, threads=1)


@pytest.fixture
def noisy(few_digits):
    labelaudit.inject_noise(few_digits, rate=0.2, seed=4)
    return few_digits


@pytest.fixture(scope="session")
def looked_home(build_once):
    """A home with digits, 20 % mistakes and a scored first look."""

    def build(_) -> None:
        labelaudit.inject_noise(labelaudit.load_dataset("digits"), rate=0.2, seed=4)
        take_first_look(labelaudit.load_dataset("digits"))

    return build_once("looked", build)


@pytest.fixture
def looked(looked_home, home):
    shutil.copytree(looked_home / "datasets", home / "datasets")
    return labelaudit.load_dataset("digits")


@pytest.fixture
def colours():
    """120 images of noise with stripes; the direction of the stripes is the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = rng.integers(0, 120, (120, 32, 32, 3), np.uint8)
    images[labels == 0, ::4] += 120
    images[labels == 1, :, ::4] += 120
    return images, [f"c{label}" for label in labels]


def test_it_finds_nearly_all_planted_mistakes_and_can_be_reviewed(looked):
    noisy, run = looked, looked.run()
    assert (run.name, noisy.runs, noisy.trained_runs) == ("first-look", ["first-look"], [])
    assert run.info["first_look"]["learned"] == 1797
    table = labelaudit.evaluate(noisy.view()).set_index("score")
    assert table.average_precision["suspicion"] > 0.998
    assert table.average_precision["neighbours"] > 0.98
    assert np.nansum(noisy.view().values("suspicion")) == pytest.approx(359, rel=0.1)
    first = labelaudit.suspects(noisy).head(1)[0]
    from labelaudit.ranking.evidence import gather

    (evidence,) = gather(noisy, "first-look", [first.id])
    assert evidence.suggested == first.prediction.label == first.original_label
    assert len(evidence.neighbours) == 8
    p = np.exp([logits for _, batch in run.logits() for logits in batch])
    confidence = (p / p.sum(axis=1, keepdims=True)).max(axis=1)
    right = noisy.view().values("prediction") == noisy.view().values("original_label")
    assert abs(confidence.mean() - right.mean()) < 0.03  # of the true label, not the given one


def test_a_trained_run_is_the_default_whenever_it_was_made(few_digits):
    noisy = few_digits
    take_first_look(noisy)
    assert noisy.run().name == "first-look"
    trained = labelaudit.train(noisy, "mine", QUICK)
    assert noisy.run().name == "first-look"  # the other has no predictions yet
    labelaudit.predict(noisy)  # … with the trained one
    assert trained.has_predictions()
    assert noisy.run().name == "mine"
    look = take_first_look(noisy)
    assert look == {"run": "first-look", "suspects": len(labelaudit.suspects(noisy, "first-look"))}
    assert noisy.runs == ["mine", "first-look"]  # it was replaced
    assert noisy.run().name == noisy.view().fields.run_info()["name"] == "mine"
    assert labelaudit.load_model(noisy)[1]["name"] == "mine"
    with pytest.raises(LabelAuditError, match="'first-look' has no model"):
        labelaudit.predict(noisy, "first-look")


def test_it_does_not_stand_in_the_way_of_a_resume(few_digits):
    noisy = few_digits

    def cut(report) -> None:
        if report.epoch == 3:
            raise KeyboardInterrupt

    config = labelaudit.TrainConfig(epochs=3, threads=1)
    with pytest.raises(KeyboardInterrupt):
        labelaudit.train(noisy, "cut", config, task=Task(cut))
    take_first_look(noisy)
    assert noisy.unfinished_runs == ["cut"]
    assert labelaudit.resume_audit(noisy).run == "cut"
    assert noisy.run().name == "cut"


def test_without_a_trained_run_there_is_nothing_to_predict_with(looked):
    with pytest.raises(LabelAuditError, match="no trained run yet: train first"):
        labelaudit.predict(looked)


def test_samples_without_label_or_removed_are_predicted_but_not_learned(noisy):
    frame = noisy.view().frame
    some = frame.ids[:40]
    before = frame.label[:40].copy()
    noisy.set_labels(some[:20], None)
    noisy.tag(some[20:], "removed")
    run = labelaudit.first_look(noisy)
    assert run.info["first_look"]["learned"] == 360
    assert noisy.view().frame.label[0] == -1
    assert (noisy.view().fields.predictions()[:40] == before).mean() > 0.6
    assert run.embeddings(some).shape == (40, 64)


def test_many_samples_are_streamed_and_all_are_learned_from(noisy, monkeypatch):
    labelaudit.first_look(noisy, "whole")
    monkeypatch.setattr(module, "MOST_HELD", 250)
    monkeypatch.setattr(module, "BLOCK_ROWS", 40)
    noisy.set_labels(noisy.view().ids[:10], None)
    reports = []
    run = labelaudit.first_look(noisy, "streamed", Task(reports.append, interval=0))
    assert run.info["first_look"]["learned"] == 390
    compared = [report for report in reports if report.stage.startswith("comparing")]
    assert {report.total for report in compared} == {9}  # 4 blocks, read twice
    assert compared[-1].done == 9
    found = {}
    for name in ("whole", "streamed"):
        labelaudit.compute_scores(noisy, name)
        table = labelaudit.evaluate(noisy.view(name)).set_index("score")
        found[name] = table.average_precision["suspicion"]
    assert found["streamed"] > found["whole"] - 0.02
    assert len(noisy.view("streamed").values("prediction")) == 400


def test_the_blocks_of_many_samples_do_not_divide_groups():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 200)
    held = whole_groups(groups, 50)
    assert 40 < len(held) <= 50
    others = np.setdiff1d(np.arange(200), held)
    assert not np.intersect1d(groups[held], groups[others]).size
    blocks = blocks_of_groups(groups[others], others, 30)
    assert sorted(np.concatenate(blocks)) == others.tolist()
    assert all((np.diff(block) > 0).all() for block in blocks)
    assert max(map(len, blocks)) < 45
    assert sum(len(np.unique(groups[block])) for block in blocks) == len(np.unique(groups[others]))
    assert sorted(whole_groups(groups, 200)) == list(range(200))
    assert len(whole_groups(np.zeros(9), 5)) == 5  # a group larger than the memory
    assert blocks_of_groups(np.empty(0), np.empty(0, int), 5) == []


def test_a_view_is_looked_at_alone(noisy):
    view = noisy.view().match(split="test")
    run = labelaudit.first_look(view)
    assert run.info["first_look"]["learned"] == 200
    assert sum(noisy.view().count_values("prediction").values()) == 200


def test_a_stop_or_too_few_classes_leave_what_was_there(looked):
    noisy = looked
    with pytest.raises(StoppedError):
        labelaudit.first_look(noisy, task=Task(stop=lambda: True))
    assert noisy.run("first-look").has_predictions()
    with pytest.raises(LabelAuditError, match="are all of one class"):
        labelaudit.first_look(noisy.view().match(label="3"))
    noisy.set_labels(noisy.view().ids, None)
    with pytest.raises(LabelAuditError, match="has a label"):
        labelaudit.first_look(noisy)


def test_what_fails_while_predictions_are_written_leaves_the_look_before(noisy, monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD", 300)
    before = labelaudit.first_look(noisy)

    def full(*_) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Predictor, "predict", full)  # of the samples that are streamed
    with pytest.raises(OSError, match="disk full"):
        labelaudit.first_look(noisy)
    assert noisy.run("first-look").id == before.id
    assert sum(len(ids) for ids, _ in noisy.run("first-look").logits()) == 400
    assert not noisy.view().store.exists(f"predictions-{before.id + 1}")


def test_a_class_of_one_sample_is_not_held_against_it(noisy):
    odd = Image.fromarray(np.eye(8, dtype=np.uint8) * 255)
    noisy.add_samples([{"filepath": "odd.png", "image": encode(odd), "label": "curly"}])
    assert labelaudit.first_look(noisy).info["untaught"] == ["curly"]
    assert "self_confidence" in labelaudit.compute_scores(noisy, "first-look")
    values = noisy.view("first-look").values("self_confidence")
    assert np.isnan(values[-1])
    assert np.isfinite(values[:-1]).all()


def test_a_class_without_samples_is_not_held_against_one_that_gets_it_later(colours):
    images, labels = colours
    codes = np.array([int(name[1]) for name in labels])
    dataset = labelaudit.load_arrays("stripes", images, codes, classes=["c0", "c1", "never"])
    assert labelaudit.first_look(dataset).info["untaught"] == ["never"]
    dataset.set_labels(dataset.view().ids[:1], "never")
    labelaudit.compute_scores(dataset)
    values = dataset.view().values("self_confidence")
    assert np.isnan(values[0])
    assert np.isfinite(values[1:]).all()


def test_an_audit_says_while_it_trains_that_there_is_something_to_review(few_digits):
    digits = few_digits
    seen = []
    labelaudit.audit(digits, noise=0.2, config=QUICK, task=Task(seen.append))
    assert digits.runs == ["first-look", "run-1"]
    looks = [report.first_look for report in seen if report.stage == "training"]
    count = len(labelaudit.suspects(digits, "first-look"))
    assert looks
    assert all(look == {"run": "first-look", "suspects": count} for look in looks)
    assert digits.run().name == "run-1"
    result = labelaudit.audit(digits, run="bare", config=QUICK, first_look=False)
    assert "first look" not in result.seconds


def test_as_a_job(noisy, jobs_in_threads):
    job = manager.start("look", "digits").wait()
    assert job.status == files.DONE, job.error
    assert job.summary == f"first-look: {job.result['suspects']:,} suspects"
    assert noisy.run("first-look").score_names()[0] == "suspicion"


def test_colour_images_are_recognised_and_the_choice_is_recorded(colours):
    images, labels = colours
    dataset = labelaudit.load_arrays("stripes", images, labels)
    dataset.set_labels(dataset.view().ids[:6], "c0")
    info = labelaudit.first_look(dataset).info["first_look"]
    assert set(info["tried"]) == {"lite0", "patches", "lite0+patches"}
    assert info["features"] in info["tried"]
    assert sum(info["weights"]) == pytest.approx(1)
    assert (dataset.view().values("prediction") == np.array(labels)).mean() > 0.95


def test_the_features_can_be_chosen(colours):
    dataset = labelaudit.load_arrays("stripes", *colours)
    info = labelaudit.first_look(dataset, features="pixels+patches").info["first_look"]
    assert (info["features"], info["weights"]) == ("pixels+patches", [0.5, 0.5])
    assert info["tried"] == {}
    with pytest.raises(LabelAuditError, match="no feature extractor 'eye'"):
        labelaudit.first_look(dataset, features="eye")
    with pytest.raises(LabelAuditError, match="not a list of different names"):
        labelaudit.first_look(dataset, features="pixels+pixels")


def test_features_that_no_chosen_sample_has_are_an_error(noisy):
    labelaudit.import_features(noisy, np.eye(400, 9), "mine", by="order")
    noisy.add_samples([{"filepath": f"{i}.png", "image": b"", "label": str(i)} for i in range(2)])
    with pytest.raises(BadInputError, match="none of the chosen samples of 'digits' has features"):
        labelaudit.first_look(noisy.view().select([401, 402]), features="mine")


def test_images_that_cannot_be_read_are_left_out_and_counted(noisy):
    noisy.add_samples([{"filepath": "broken.png", "image": b"no image", "label": "3"}])
    run = labelaudit.first_look(noisy)
    assert run.info["first_look"]["learned"] == 400
    assert run.info["notes"] == ["1 of 401 images could not be read: left out"]
    labelaudit.compute_scores(noisy)
    assert np.isnan(noisy.view().values("suspicion")[-1])


def test_a_stop_keeps_finished_features(noisy, monkeypatch):
    """The next first look continues from there: see test_features.py."""
    with pytest.raises(StoppedError):
        labelaudit.first_look(noisy, task=Task(stop=lambda: True))
    assert noisy.runs == []
