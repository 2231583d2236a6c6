from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import labelaudit
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task

QUICK = labelaudit.TrainConfig(epochs=6, threads=1)


def test_rehearsal_on_digits_finds_nearly_all_mistakes(audited):
    """Judged by what `audit` stored in the home that is copied here."""
    best = labelaudit.evaluate(audited.view()).iloc[0]
    assert best.score == "suspicion"
    assert best.average_precision > 0.98
    assert (best.mistakes, best.k) == (359, 359)
    assert len(labelaudit.suspects(audited)) > 300
    held_out = audited.view().match(split="test")
    right = held_out.values("prediction") == held_out.values("original_label")
    assert right.mean() > 0.9 > audited.run().info["validation_accuracy"]


def test_the_result_of_a_rehearsal(few_digits, tmp_path):
    config = labelaudit.TrainConfig(epochs=20, batch_size=32, threads=1)
    result = labelaudit.audit(few_digits, noise=0.2, config=config, features="pixels")
    best = result.evaluation.iloc[0]
    assert (best.mistakes, best.k) == (80, 80)
    assert result.true_accuracy > result.validation_accuracy
    assert result.noise.changed == 80
    assert result.score == "suspicion"
    assert result.to_csv(tmp_path / "s.csv") == len(result.suspects) > 40
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.id.tolist() == result.suspects.ids.tolist()
    text = str(result)
    for part in (
        "400 samples",
        "10 classes",
        "run-1",
        "80 of 400",
        "self_confidence",
        "Time: load",
    ):
        assert part in text
    assert str(result.top(1)["id"].iloc[0]) in text
    data = result.to_dict()
    assert data["evaluation"][0]["found"] == best.found
    assert len(data["top"]) == 10


def test_a_real_audit_changes_no_label(few_digits):
    digits = few_digits
    before = digits.view().values("ground_truth").tolist()
    result = labelaudit.audit(digits, config=labelaudit.TrainConfig(epochs=2, threads=1))
    assert digits.view().values("ground_truth").tolist() == before
    assert result.evaluation is None
    assert result.noise is None
    assert "Rehearsal" not in str(result)
    assert digits.info["tags"] == {"processed": 400}


def test_a_stop_before_the_first_epoch_is_reported(digits):
    with pytest.raises(StoppedError):
        labelaudit.audit(digits, config=QUICK, task=Task(stop=lambda: True))


def test_an_audit_cut_short_in_training_continues_to_its_end(few_digits):
    digits = few_digits
    options = {"noise": 0.2, "config": QUICK, "first_look": False}
    whole = labelaudit.audit(digits, run="whole", **options)
    labels = digits.view().values("ground_truth").tolist()

    def cut(report) -> None:
        if report.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelaudit.audit(digits, run="cut", task=Task(cut), **options)
    resumed = labelaudit.resume_audit(digits)
    assert resumed.run == "cut"
    assert digits.view().values("ground_truth").tolist() == labels  # no noise on top of noise
    pd.testing.assert_frame_equal(resumed.evaluation, whole.evaluation)
    assert resumed.true_accuracy == whole.true_accuracy
    assert resumed.suspects.ids.tolist() == whole.suspects.ids.tolist()


def test_a_stopped_audit_may_end_there_and_be_scored_later(few_digits):
    digits = few_digits
    seen = []

    def progress(report) -> None:
        if report.curves:
            seen.append(report)

    with pytest.raises(StoppedError, match=r"of 6 epochs: run 'run-1' is stored"):
        labelaudit.audit(digits, config=QUICK, task=Task(progress, lambda: bool(seen)),
                         keep_going=False, first_look=False)  # fmt: skip
    run = digits.run("run-1")
    assert not run.has_predictions()
    with pytest.raises(StoppedError):  # a stop now is another one
        labelaudit.resume_audit(digits, "run-1", task=Task(stop=lambda: True))
    assert not run.has_predictions()
    result = labelaudit.resume_audit("digits", "run-1")
    assert result.stopped
    assert run.info["epochs"] == len(run.info["curves"]) < 6
    assert "aum" in run.score_names()


def test_bad_input_is_reported_before_anything_happens(home):
    with pytest.raises(LabelAuditError, match="no dataset 'pets'"):
        labelaudit.audit("pets")
    with pytest.raises(LabelAuditError, match="between 0 and 1"):
        labelaudit.audit("digits", noise=3)
    assert labelaudit.load_dataset("digits").runs == []


def test_audit_is_the_function_however_it_is_imported():
    from labelaudit import audit
    from labelaudit.pipeline import audit as function

    assert callable(audit)
    assert labelaudit.audit is audit is function


def test_an_audit_without_training_finds_copies_and_measures_quality(home):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (60, 32, 32, 3), np.uint8)
    images[:, :, :, 0] //= np.where(np.arange(60) % 2, 1, 8)[:, None, None].astype(np.uint8)
    images[7] = images[3]
    labels = [f"c{i % 2}" for i in range(60)]
    labels[7] = "c0"
    dataset = labelaudit.load_arrays("pairs", images, labels)
    result = labelaudit.audit(dataset, train=False, features="pixels")
    assert result.run == "first-look"
    assert {"duplicates", "first look", "image quality"} <= set(result.seconds)
    table = result.suspects.to_pandas()
    assert table["id"][0] == 8
    assert table["finding"][0] == "duplicate conflict"
    assert table["suggested"][0] == "c1"
    assert (dataset.view().to_pandas()["image_issues"] == "").any()
    assert result.top()["suggested"][0] == "c1"
    p = dataset.view("first-look").values("suspicion")
    assert p[3] + p[7] == pytest.approx(1)
