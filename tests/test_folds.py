"""Training in folds: each sample is judged by a model that was not trained on its label."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch

from labelaudit import (
    Dataset,
    TrainConfig,
    compute_scores,
    load_arrays,
    load_model,
    predict,
    resume_training,
    train,
)
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.progress import Task
from labelaudit.dataset.dynamics import EVERYONES
from labelaudit.learn.plan import HELD_OUT, make_plan

CONFIG = TrainConfig(epochs=3, batch_size=16, folds=3, threads=1, device="cpu", leave_out_after=1)


@pytest.fixture
def stripes(home) -> Dataset:
    """90 images of two classes, and 12 held out; 0 and 6 show the same picture."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (102, 16, 16, 3), np.uint8)
    labels = np.arange(102) % 2
    images[labels == 1, :, ::2] += 180
    images[labels == 0, ::2] += 180
    images[6] = images[0]
    splits = ["train"] * 90 + ["test"] * 12
    return load_arrays("stripes", images, labels, classes=["flat", "tall"], splits=splits)


def test_folds_are_balanced_by_class_and_each_model_learns_all_but_its_own(stripes):
    plan = make_plan(stripes, CONFIG)
    assert (plan.fold[plan.held_out] == HELD_OUT).all()
    for k in range(3):
        own = plan.fold == k
        assert np.bincount(plan.labels[own]).tolist() == [15, 15]
        learned = plan.learned_by(k)
        assert len(learned) == 60
        assert not own[learned].any()
    looked = np.concatenate([plan.evaluated_by(k) for k in range(3)])
    times = np.bincount(looked)
    assert (times[plan.learned] == 2).all()  # by one that learned it, and by one that did not
    assert (times[plan.held_out] == 3).all()


def test_without_folds_one_model_learns_and_looks_at_all(stripes):
    plan = make_plan(stripes, TrainConfig())
    np.testing.assert_array_equal(plan.learned_by(0), plan.learned)
    np.testing.assert_array_equal(plan.evaluated_by(0), np.arange(102))


def test_a_label_does_not_reach_the_model_that_judges_it_out_of_sample(stripes):
    """If one label differs, the sample's out-of-sample logits stay the same."""
    first = train(stripes, "first", CONFIG)
    ids = stripes.view().ids
    fold = first.folds(ids)
    before = first.dynamics(ids)
    stripes.set_labels([ids[1]], "flat")
    second = train(stripes, "second", CONFIG)
    np.testing.assert_array_equal(second.folds(ids) == -1, fold == -1)
    if (second.folds(ids) == fold).all():  # balanced anew, it may have moved
        after = second.dynamics(ids)
        np.testing.assert_array_equal(after.out_margin[:, 1], -before.out_margin[:, 1])
        assert (after.margin[:, 1] != -before.margin[:, 1]).any()


def test_both_measures_are_recorded_and_scored(stripes):
    run = train(stripes, "folds", CONFIG)
    ids = stripes.view().ids
    found = run.dynamics(ids)
    for values in (found.margin, found.p_label, found.out_margin, found.out_p_label):
        assert values.shape == (3, 102)
        assert np.isfinite(values).all()
    learned = run.folds(ids) >= 0
    assert (found.margin[:, learned] != found.out_margin[:, learned]).any()
    np.testing.assert_array_equal(found.margin[:, ~learned], found.out_margin[:, ~learned])
    predict(stripes)
    names = compute_scores(stripes)
    assert {"aum", "out_aum", "out_cartography"} <= set(names)
    np.testing.assert_allclose(
        stripes.view().values("out_aum"), -found.out_margin.mean(axis=0), rtol=1e-6
    )


def test_out_of_sample_scores_of_a_run_without_folds_are_refused_by_name_only(stripes):
    train(stripes, "plain", TrainConfig(epochs=1, threads=1, device="cpu"))
    predict(stripes)
    assert "out_aum" not in compute_scores(stripes)
    with pytest.raises(LabelAuditError, match="train with folds=2 or more"):
        compute_scores(stripes, names=["out_aum"])


def test_predictions_are_those_of_the_model_that_did_not_learn_the_sample(stripes):
    import torch

    run = train(stripes, "folds", CONFIG)
    predict(stripes, augment=False)
    ids = stripes.view().ids
    fold = run.folds(ids)
    model, info = load_model(stripes)
    assert len(model.members) == info["config"]["folds"] == 3
    ((stored, logits),) = run.logits()
    np.testing.assert_array_equal(np.sort(stored), ids)
    images = np.stack([np.asarray(sample.image.convert("RGB")) for sample in stripes.view()])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        of_each = torch.stack([member(pixels) for member in model.members]).numpy()
    expected = np.where((fold < 0)[:, None], of_each.mean(0), of_each[fold, np.arange(102)])
    np.testing.assert_allclose(logits, expected, atol=0.05)  # bfloat16 where the processor has it


def test_duplicates_lie_in_one_fold(stripes):
    run = train(stripes, "folds", CONFIG)
    ids = stripes.view().ids
    fold = run.folds(ids)
    assert fold[0] == fold[6] >= 0


def test_a_training_in_folds_resumes_exactly(stripes):
    class CutError(Exception):
        pass

    def cut(report) -> None:
        if report.epoch == 3 and report.stage == "training" and report.step:
            raise CutError

    whole = train(stripes, "whole", CONFIG)
    with pytest.raises(CutError):
        train(stripes, "cut", CONFIG, task=Task(cut))
    resumed = resume_training(stripes)
    ids = stripes.view().ids
    for name in ("margin", "out_margin"):
        np.testing.assert_array_equal(
            getattr(whole.dynamics(ids), name), getattr(resumed.dynamics(ids), name)
        )
    one, other = (safetensors.torch.load(run.weights()) for run in (whole, resumed))
    assert all((one[name] == other[name]).all() for name in one)


def test_a_class_of_one_sample_is_learned_by_every_model(home):
    images = np.random.default_rng(0).integers(0, 255, (30, 16, 16, 3), np.uint8)
    labels = [0] * 14 + [1] * 15 + [2]
    odd = load_arrays("odd", images, labels, classes=["a", "b", "c"])
    plan = make_plan(odd, CONFIG)
    assert plan.fold[29] == EVERYONES
    assert all(29 in plan.learned_by(k) for k in range(3))
    assert sum(29 in plan.evaluated_by(k) for k in range(3)) == 1
    assert plan.classes_missing_in(plan.learned) == []
    run = train(odd, "folds", CONFIG)
    found = run.dynamics(odd.view().ids)
    assert np.isfinite(found.margin[:, 29]).all()
    assert np.isnan(found.out_margin[:, 29]).all()  # nobody who did not learn it knows its class
    predict(odd)
    assert "out_aum" in compute_scores(odd)
    values = odd.view().values("out_aum")
    assert np.isnan(values[29])
    assert np.isfinite(np.delete(values, 29)).all()


def test_too_few_samples_for_the_folds_are_reported(home):
    images = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)
    few = load_arrays("few", images, [0, 0, 0, 0, 0, 1], classes=["a", "b"])
    with pytest.raises(LabelAuditError, match="cannot be learned in 9 folds"):
        train(few, config=TrainConfig(folds=9, epochs=1, device="cpu"))
