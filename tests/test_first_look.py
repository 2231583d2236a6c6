from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import labelaudit
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.images import encode
from labelaudit.core.progress import Task
from labelaudit.features.extractors import fit_extractor
from labelaudit.features.patches import FILTERS, POOLED, Patches
from labelaudit.features.pixels import Pixels
from labelaudit.jobs import files, manager
from labelaudit.learn import first_look as module
from labelaudit.pipeline import take_first_look

QUICK = labelaudit.TrainConfig(epochs=1, threads=1)


@pytest.fixture
def noisy(digits):
    labelaudit.inject_noise(digits, rate=0.2, seed=4)
    return digits


@pytest.fixture(scope="module")
def looked_home(tmp_path_factory):
    """A home with digits, 20 % mistakes and a scored first look. Copy it, do not change it."""
    folder = tmp_path_factory.mktemp("looked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELAUDIT_HOME", str(folder))
        labelaudit.inject_noise(labelaudit.load_dataset("digits"), rate=0.2, seed=4)
        take_first_look(labelaudit.load_dataset("digits"))
    return folder


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
    assert table.average_precision["self_confidence"] > 0.997
    assert table.average_precision["neighbours"] > 0.96
    first = labelaudit.suspects(noisy).head(1)[0]
    from labelaudit.ranking.evidence import gather

    (evidence,) = gather(noisy, "first-look", [first.id])
    assert evidence.suggested == first.prediction.label
    assert len(evidence.neighbours) == 8
    p = np.exp([logits for _, batch in run.logits() for logits in batch])
    confidence = (p / p.sum(axis=1, keepdims=True)).max(axis=1)
    right = noisy.view().values("prediction") == noisy.view().values("ground_truth")
    assert abs(confidence.mean() - right.mean()) < 0.12  # roughly calibrated


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
    assert run.info["first_look"]["learned"] == 1757
    assert noisy.view().frame.label[0] == -1
    assert (noisy.view().fields.predictions()[:40] == before).mean() > 0.6
    assert run.embeddings(some).shape == (40, 128)


def test_of_many_only_some_are_learned_from(noisy, monkeypatch):
    monkeypatch.setattr(module, "MAX_LEARNED", 600)
    run = labelaudit.first_look(noisy, "few")
    assert run.info["first_look"]["learned"] == 600
    labelaudit.compute_scores(noisy, "few")
    table = labelaudit.evaluate(noisy.view("few")).set_index("score")
    assert table.average_precision["self_confidence"] > 0.97


def test_a_view_is_looked_at_alone(noisy):
    view = noisy.view().match(split="test")
    run = labelaudit.first_look(view)
    assert run.info["first_look"]["learned"] == 360
    assert sum(noisy.view().count_values("prediction").values()) == 360


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
    monkeypatch.setattr(module, "MAX_LEARNED", 600)
    before = labelaudit.first_look(noisy)
    late = iter(range(10_000))
    with pytest.raises(StoppedError):  # while the samples that were not learned are predicted
        labelaudit.first_look(noisy, task=Task(stop=lambda: next(late) > 3))
    assert noisy.run("first-look").id == before.id
    assert sum(len(ids) for ids, _ in noisy.run("first-look").logits()) == 1797
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


def test_photographs_are_recognised_by_their_patches(colours):
    images, labels = colours
    dataset = labelaudit.load_arrays("stripes", images, labels)
    dataset.set_labels(dataset.view().ids[:6], "c0")
    run = labelaudit.first_look(dataset)
    assert run.info["first_look"]["features"] == "patches"
    assert (dataset.view().values("prediction") == np.array(labels)).mean() > 0.95


def test_features_of_an_image_and_its_mirror_image_are_the_same(colours):
    images = torch.from_numpy(colours[0]).permute(0, 3, 1, 2)
    features = fit_extractor(images)
    assert isinstance(features, Patches)
    seen, mirrored = features.of(images[:30]), features.of(images[:30].flip(3))
    assert seen.shape == (30, 2 * FILTERS * POOLED**2)
    np.testing.assert_allclose(seen, mirrored, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(features.of(images[7:8])[0], seen[7], rtol=0.02, atol=0.02)
    flat = features.of(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert np.isfinite(flat).all()


def test_grey_images_are_recognised_by_their_pixels():
    grey = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(2, 3, 8, 8)
    features = fit_extractor(grey)
    assert isinstance(features, Pixels)
    np.testing.assert_array_equal(features.of(grey)[0], np.arange(64))
    large = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    np.testing.assert_array_equal(features.of(large), np.full((1, 256), 7))


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
    assert noisy.run("first-look").score_names()[0] == "self_confidence"
