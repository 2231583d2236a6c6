"""Recording the user's own training loop."""

from __future__ import annotations

import logging
import runpy
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from forks import Program

from labelaudit import (
    Dataset,
    Recorder,
    Review,
    change_classes,
    compute_scores,
    evaluate,
    plan_classes,
    suspects,
)
from labelaudit.core.errors import BusyError, LabelAuditError
from labelaudit.dataset import dynamics
from labelaudit.dataset.noise import inject
from labelaudit.dataset.run_lifecycle import begin_run
from labelaudit.dataset.runs import Run
from labelaudit.learn import batch_buffer, recording
from labelaudit.learn.unfinished_recordings import unfinished_recordings
from labelaudit.scores.probability import best_other, of_label, probabilities

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture
def plain(make_dataset) -> Dataset:
    return make_dataset(40)


def random_logits(seed: int, n: int = 40, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, classes)).astype(np.float32) * 3


def by_hand(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    margin = of_label(logits, labels) - best_other(logits, labels)
    return margin, of_label(probabilities(logits), labels)


def labels_of(dataset: Dataset) -> np.ndarray:
    return dataset.view().frame.label


def messages(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- what is stored ---


@pytest.mark.parametrize("kind", [np.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dynamics_and_predictions_are_those_of_the_logits(plain, kind, monkeypatch):
    ids, labels = plain.view().ids, labels_of(plain)
    recorder = Recorder(plain, run="mine")
    expected = np.full((2, 3, 40), np.nan)
    last = np.zeros((40, 4), np.float32)
    for epoch in range(3):
        logits = random_logits(epoch)
        order = np.random.default_rng(epoch).permutation(40)[:36]  # drop_last
        for at in np.split(order, 4):
            if kind is np.float64:
                batch = logits[at].astype(kind)
            else:
                batch = torch.tensor(logits[at], requires_grad=True).to(kind)
                assert batch.requires_grad
                logits[at] = batch.detach().float().numpy()
            recorder.update(ids[at] if epoch else torch.from_numpy(ids[at]), batch)
        expected[:, epoch, order] = by_hand(logits[order], labels[order])
        last[order] = logits[order]
        assert recorder.epochs == epoch
        recorder.end_epoch()
    run = recorder.finish()
    assert recorder.finish() == run
    seen = run.dynamics(ids)
    np.testing.assert_allclose(seen.margin, expected[0], rtol=1e-5)
    np.testing.assert_allclose(seen.p_label, expected[1], rtol=1e-5)
    assert np.isnan(seen.out_margin).all()
    np.testing.assert_array_equal(seen.labels, labels)
    np.testing.assert_array_equal(run.dynamics_of(ids[::-1]).margin, seen.margin[:, ::-1])
    np.testing.assert_array_equal(run.learned_labels(ids), labels)
    predicted, logits = next(iter(run.logits()))
    np.testing.assert_array_equal(logits, last[predicted - 1])
    assert plain.view().count_values("tags") == {"processed": 40}
    right = np.nanmean(np.where(np.isnan(expected[0]), np.nan, expected[0] > 0), axis=1)
    np.testing.assert_allclose([row["train_accuracy"] for row in run.info["curves"]], right)
    assert run.info["validation_accuracy"] is None
    assert run.class_curves().shape == (3, 4)
    assert (run.info["epochs"], run.info["learned"], run.info["notes"]) == (3, 40, [])
    with pytest.raises(LabelAuditError, match="has no model"):
        run.weights()


def test_a_loop_finds_planted_mistakes(digits):
    """From end to end: a linear model on digits in its own loop, then suspects and review."""
    inject(digits, rate=0.2, seed=1)
    view = digits.view()
    images = np.stack([np.asarray(sample.image.convert("L")) for sample in view]) / 255
    x = torch.tensor(images.reshape(len(images), -1), dtype=torch.float32)
    y, ids = torch.from_numpy(labels_of(digits)).long(), torch.from_numpy(view.ids)
    torch.manual_seed(0)
    model = torch.nn.Linear(x.shape[1], 10)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with Recorder(digits, run="mine") as recorder:
        for _ in range(5):
            for at in torch.randperm(len(x)).split(100):
                logits = model(x[at])
                recorder.update(ids[at], logits)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(logits, y[at]).backward()
                optimizer.step()
            recorder.end_epoch()
    names = compute_scores(digits)
    assert {"aum", "cartography", "suspicion", "self_confidence"} <= set(names)
    assert not {"out_aum", "neighbours"} & set(names)
    table = evaluate(digits.view()).set_index("score")["average_precision"]
    assert table["aum"] > 0.9
    assert table["suspicion"] > 0.9
    first = suspects(digits).head(1)[0]
    Review(digits, "me").decide(first.id, "relabel", first.prediction.label)
    assert digits.runs == digits.trained_runs == ["mine"]


def test_classes_may_come_in_another_order(plain):
    ids, logits = plain.view().ids, random_logits(0)
    recorder = Recorder(plain, classes=["c2", "c0", "c3", "c1"])
    recorder.update(ids, logits[:, [2, 0, 3, 1]])
    run = recorder.finish()  # what came since the last end_epoch is one
    assert run.name == "run-1"
    np.testing.assert_array_equal(next(run.logits())[1], logits)
    margin, _ = by_hand(logits, labels_of(plain))
    np.testing.assert_allclose(run.dynamics(ids).margin, [margin], rtol=1e-5)


def test_of_a_sample_that_comes_twice_the_later_counts(plain, caplog):
    a, b, c = random_logits(0, 3)[:, None]
    recorder = Recorder(plain)
    recorder.update([5], a)
    recorder.update([5, 6], np.concatenate([b, c]))
    recorder.end_epoch()
    recorder.update([7, 7], np.concatenate([a, b]))
    recorder.update([8, 8], np.concatenate([a, c]))
    run = recorder.finish()
    np.testing.assert_array_equal(next(run.logits())[1], np.concatenate([b, c, b, c]))
    assert np.isfinite(run.dynamics(np.array([5, 7])).margin).tolist() == [
        [True, False], [False, True],
    ]  # fmt: skip
    assert len([text for text in messages(caplog) if "twice in a batch" in text]) == 1
    assert run.info["notes"] == ["2 logits of samples that came twice in a batch: the later count"]


def test_the_loop_may_change_its_tensors_afterwards(plain):
    recorder = Recorder(plain)
    logits, ids, vectors = torch.ones(2, 4), torch.tensor([1, 2]), torch.ones(2, 3)
    recorder.update(ids, logits, vectors)
    logits.mul_(torch.nan)
    ids.add_(7)
    vectors.zero_()
    run = recorder.finish()
    predicted, stored = next(run.logits())
    assert predicted.tolist() == [1, 2]
    assert (stored == 1).all()
    assert (run.embeddings([1, 2]) == 1).all()


@pytest.mark.parametrize("limit", [("BUFFERED_BYTES", 100), ("BUFFERED_BATCHES", 3)])
def test_what_waits_is_read_when_it_is_much(plain, monkeypatch, limit):
    monkeypatch.setattr(batch_buffer, *limit)
    recorder = Recorder(plain)
    read, put = [], recording.Recording.put

    def counted(self, at, *arguments):
        read.append(len(at))
        put(self, at, *arguments)

    monkeypatch.setattr(recording.Recording, "put", counted)
    for start in range(1, 15, 2):
        recorder.update([start, start + 1], random_logits(start, 2))
    assert read == ([8] if limit[0] == "BUFFERED_BYTES" else [6, 6])
    recorder.end_epoch()
    assert sum(read) == 14


def test_samples_without_a_label_are_predicted_but_have_no_margin(make_dataset):
    dataset = make_dataset(8)
    dataset.set_labels([3], None)
    dataset.tag([5], "removed")
    recorder = Recorder(dataset)
    ids = dataset.view().ids
    recorder.update(ids, random_logits(0, 8))
    run = recorder.finish()
    some = run.dynamics(ids)
    assert ids[np.isnan(some.margin[0])].tolist() == [3, 5]
    assert some.labels[[2, 4]].tolist() == [-1, -1]
    assert len(next(run.logits())[0]) == 8
    only = Recorder(dataset, run="only")
    only.update([3], random_logits(0, 1))
    assert only.finish().dynamics(ids) is None


def test_a_view_says_which_samples_are_recorded(plain, caplog):
    recorder = Recorder(plain.view().match(label="c1"))
    assert recorder.ids.tolist() == list(range(2, 41, 4))
    recorder.update([1, 2], random_logits(0, 2))
    run = recorder.finish()
    assert next(run.logits())[0].tolist() == [2]
    assert run.info["notes"] == ["1 logits of samples that are not recorded were left out"]


# --- out of sample ---


def test_held_out_samples_are_judged_out_of_sample(plain):
    ids, labels, logits = plain.view().ids, labels_of(plain), random_logits(0)
    margin, p = by_hand(logits, labels)
    recorder = Recorder(plain)
    for _ in range(2):
        recorder.update(ids[:30], logits[:30])
        recorder.update(ids[30:], logits[30:], learned=False)
        recorder.end_epoch()
    run = recorder.finish()
    some = run.dynamics_of(ids)
    np.testing.assert_allclose(some.margin, [margin] * 2, rtol=1e-5)  # of both kinds, as in train
    np.testing.assert_allclose(some.out_p_label[:, 30:], [p[30:]] * 2, rtol=1e-5)
    assert np.isnan(some.out_margin[:, :30]).all()
    last = run.info["curves"][-1]
    assert last["validation_accuracy"] == (margin[30:] > 0).mean()
    assert last["train_accuracy"] == (margin[:30] > 0).mean()
    assert (run.info["learned"], run.info["held_out"]) == (30, 10)
    assert "out_aum" not in compute_scores(plain)


def test_in_cross_validation_what_counts_is_the_model_that_did_not_learn_the_sample(plain):
    """Two models, each trained on half of the samples, one after the other in one recorder."""
    ids, labels = plain.view().ids, labels_of(plain)
    recorder = Recorder(plain)
    own = {True: {}, False: {}}
    for fold, halves in enumerate([(0, 1), (1, 0)]):
        for learned, half in zip((True, False), halves, strict=True):
            at = np.arange(40) % 2 == half
            own[learned][half] = random_logits(10 * fold + half)
            recorder.update(ids[at], own[learned][half][at], learned=learned)
        recorder.end_epoch()
    run = recorder.finish()
    even = np.arange(40) % 2 == 0
    outside = np.where(even[:, None], own[False][0], own[False][1])
    np.testing.assert_array_equal(next(run.logits())[1], outside)
    inside = np.where(even[:, None], own[True][0], own[True][1])
    some = run.dynamics(ids)
    assert np.isfinite(some.margin).sum(axis=0).tolist() == [1] * 40
    np.testing.assert_allclose(np.nansum(some.margin, 0), by_hand(inside, labels)[0], rtol=1e-5)
    np.testing.assert_allclose(
        np.nansum(some.out_margin, 0), by_hand(outside, labels)[0], rtol=1e-5
    )
    assert {"aum", "out_aum"} <= set(compute_scores(plain))
    values = plain.view().values("out_aum")
    np.testing.assert_allclose(values, -by_hand(outside, labels)[0], rtol=1e-5)


@pytest.mark.parametrize("learned", [True, False])
def test_the_sharpness_of_the_users_own_model_is_fitted(plain, learned, monkeypatch):
    """The fixed sharpness holds only for LabelAudit's networks, trained on these labels or not."""
    suspicion = sys.modules["labelaudit.scores.suspicion"]
    asked, fit = [], suspicion.fit_noise_model
    monkeypatch.setattr(suspicion, "fit_noise_model", lambda *a: (asked.append(a[2]), fit(*a))[1])
    recorder = Recorder(plain)
    recorder.update(plain.view().ids, random_logits(0), learned=learned)
    recorder.finish()
    compute_scores(plain, names=["suspicion"])
    assert asked == [True]


def test_embeddings_are_kept(plain, caplog):
    ids, vectors = plain.view().ids, np.random.default_rng(0).normal(size=(40, 6))
    recorder = Recorder(plain)
    vectors[3, 0] = np.inf
    recorder.update(ids[:20], random_logits(0, 20), vectors[:20])
    recorder.update(ids[20:30], random_logits(1, 10))
    recorder.update(ids[30:], random_logits(2, 10), embeddings=torch.from_numpy(vectors[30:]))
    recorder.update(ids[:2], random_logits(2, 2), vectors[:2, :5])
    run = recorder.finish()
    kept = run.embeddings(ids)
    none = np.isnan(kept).any(axis=1)
    assert ids[none].tolist() == [4, *range(21, 31)]
    np.testing.assert_array_equal(kept[~none], vectors[~none].astype(np.float16))
    assert run.info["notes"] == [
        "1 embeddings that are not finite were left out",
        "2 embeddings of another width than those before were left out",
    ]
    assert "neighbours" in compute_scores(plain)
    assert run.neighbours([1], 3)[0].shape == (1, 3)


# --- what does not fit ---


def test_an_unexpected_error_does_not_end_the_loop(plain, monkeypatch):
    recorder = Recorder(plain)
    recorder.update([1], random_logits(0, 1))
    with monkeypatch.context() as patch:
        patch.setattr("labelaudit.learn.recorder.as_batch", lambda *_: 1 / 0)
        recorder.update([2], random_logits(0, 1))
    assert recorder.finish().info["notes"] == ["1 batches that could not be read were left out"]


def test_nothing_that_a_loop_gives_raises(plain, caplog):
    recorder = Recorder(plain)
    bad = random_logits(0, 4)
    bad[1, 2], bad[2, 0] = np.nan, np.inf
    for _ in range(2):
        recorder.update([1, 2, 3, 4], bad)
        recorder.update([900, 5, -1], random_logits(0, 3))
        recorder.update([6], np.zeros((1, 7)))
        recorder.update([6, 7], np.zeros((1, 4)))
        recorder.update([6.5], np.zeros((1, 4)))
        recorder.update(torch.tensor([6.0]), np.zeros((1, 4)))
        recorder.update([6], np.zeros((1, 4)), np.zeros((3, 2)))
        recorder.update([6], [["a", "b", "c", "d"]])
        recorder.update(None, None)
        recorder.update([], np.zeros((0, 4)))
    run = recorder.finish()
    recorder.update([8], np.zeros((1, 4)))
    recorder.end_epoch()
    assert next(run.logits())[0].tolist() == [1, 4, 5]
    assert run.info["notes"] == [
        "14 batches that do not fit were left out",
        "4 logits of samples that are not recorded were left out",
        "4 logits that are not finite were left out",
    ]
    said = messages(caplog)
    assert len(said) == 4
    assert "logits of shape (1, 7) were given, and the dataset has 4 classes" in said[0]
    assert "such as id 900" in said[1]
    assert "after the recording was finished" in said[3]


def test_without_an_update_there_is_no_run(plain, caplog):
    with Recorder(plain, run="mine") as recorder:
        recorder.end_epoch()
    assert recorder.finish() is None
    assert recorder.epochs == 0
    assert plain.runs == []
    assert "nothing was recorded of dataset 'plain'" in messages(caplog)[0]
    assert not plain.view().store.exists("runs")


def test_an_epoch_that_cannot_be_stored_is_reported_and_training_continues(
    plain, caplog, monkeypatch
):
    recorder = Recorder(plain)

    def full(*_):
        raise LabelAuditError("no space left on the disk.")

    with monkeypatch.context() as patch:
        patch.setattr("labelaudit.dataset.runs.Run.append_dynamics", full)
        recorder.update([1], random_logits(0, 1))
        recorder.end_epoch()
        with pytest.raises(LabelAuditError, match="no space left"):
            recorder.finish()
    assert len(messages(caplog)) == 1
    assert "no space left on the disk. It is retried" in messages(caplog)[0]
    recorder.update([2], random_logits(0, 1))
    run = recorder.finish()
    assert (run.info["epochs"], run.info["notes"]) == (2, [])
    assert np.isfinite(run.dynamics(np.array([1, 2])).margin).tolist() == [
        [True, False], [False, True],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["c0", "c1", "c2"]}, "lacks 'c3'"),
        ({"classes": ["c0", "c1", "c2", "c3", "c3"]}, "has a name twice"),
        ({"classes": ["c0", "c1", "c2", "cat"]}, "'cat' is not a class"),
        ({"run": "a/b"}, "cannot be a run name"),
    ],
)
def test_misuse_is_reported_at_the_start(plain, options, message):
    with pytest.raises(LabelAuditError, match=message):
        Recorder(plain, **options)


def test_one_class_has_no_margin(make_dataset):
    with pytest.raises(LabelAuditError, match="has 1 class: a margin needs two"):
        Recorder(make_dataset(4, classes=1))


# --- cut short ---


def record(recorder: Recorder, epochs) -> None:
    for epoch in epochs:
        recorder.update(recorder.ids, random_logits(epoch), random_logits(epoch + 50))
        recorder.end_epoch()


def test_a_class_that_is_added_meanwhile_is_none_of_the_models(plain):
    with suppress(KeyboardInterrupt), Recorder(plain, run="mine") as recorder:
        record(recorder, range(1))
        raise KeyboardInterrupt
    plain.add_samples([{"filepath": "/nowhere/new.png", "label": "new"}])
    again = Recorder(plain, run="mine", resume=True)
    record(again, range(1, 2))  # with four columns, as before
    run = again.finish()
    assert (run.classes, run.info["epochs"], run.info["notes"]) == (plain.classes[:4], 2, [])


def test_classes_that_are_renamed_meanwhile_have_their_new_names(plain):
    recorder = Recorder(plain, run="mine")
    begun = begin_run(plain.view().frame, "other")  # as on another machine
    swap = plan_classes(plain, rename={"c0": "c1", "c1": "c0"})
    begun._files.release()
    change_classes(plain, swap)
    record(recorder, range(1))
    with pytest.raises(BusyError, match="is being trained"):
        change_classes(plain, plan_classes(plain, rename={"c0": "c1", "c1": "c0"}))
    run = recorder.finish()
    begun.finish({"classes": plain.classes})
    assert run.classes == ["c1", "c0", "c2", "c3"] == plain.run("other").classes


def test_what_was_never_finished_does_not_count_and_can_be_resumed(plain):
    with suppress(KeyboardInterrupt), Recorder(plain, run="mine") as recorder:
        record(recorder, range(2))
        recorder.update(recorder.ids, random_logits(2))
        raise KeyboardInterrupt
    assert plain.runs == plain.unfinished_runs == []
    # as if it had been killed between the two writes of the next epoch
    run = unfinished_recordings(plain.view().frame, "mine")[0]
    run.append_dynamics(3, np.array([1]), np.array([0]), *np.zeros((2, 1), np.float32))

    again = Recorder(plain, run="mine", resume=True)
    assert again.epochs == 2
    record(again, range(2, 4))
    resumed = again.finish()
    whole = Recorder(plain, run="whole")
    record(whole, range(4))
    whole = whole.finish()
    ids = plain.view().ids
    for name in ("margin", "p_label"):
        np.testing.assert_array_equal(
            getattr(resumed.dynamics(ids), name), getattr(whole.dynamics(ids), name)
        )
    np.testing.assert_array_equal(next(resumed.logits())[1], next(whole.logits())[1])
    np.testing.assert_array_equal(resumed.embeddings(ids), whole.embeddings(ids))
    assert unfinished_recordings(plain.view().frame) == []
    assert not list(run.recording.parent.iterdir())


@pytest.mark.system
def test_whole_epochs_of_a_killed_process_make_a_run(plain):
    code = """
import os, signal, numpy as np, labelaudit
from labelaudit.learn import recording
recording.WRITE_SECONDS = 0
recorder = labelaudit.Recorder(labelaudit.Dataset("plain"), run="mine")
for _ in range(2):
    recorder.update(recorder.ids, np.eye(4, dtype="f")[recorder.ids % 4])
    recorder.end_epoch()
recorder.update([1], np.zeros((1, 4)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert Program(code).wait() == -9
    assert plain.runs == []
    run = Recorder(plain, run="mine", resume=True).finish()
    assert run.info["epochs"] == 2
    assert np.isfinite(run.dynamics(plain.view().ids).margin).all()


def test_resuming_where_there_is_nothing_begins(plain):
    recorder = Recorder(plain, run="mine", resume=True)
    assert recorder.epochs == 0
    record(recorder, range(1))
    assert recorder.finish().info["epochs"] == 1


def test_a_notebook_may_begin_again_while_the_old_recorder_is_there(plain, monkeypatch):
    monkeypatch.setattr(recording, "WRITE_SECONDS", 0)
    old = Recorder(plain, run="mine")
    record(old, range(1))
    new = Recorder(plain, run="mine")
    record(new, range(2))
    resumed = Recorder(plain, run="mine", resume=True)
    assert resumed.epochs == 2  # the newest
    assert resumed.finish().info["epochs"] == 2
    assert plain.runs == ["mine"]
    assert unfinished_recordings(plain.view().frame) == []


def test_a_recording_whose_labels_were_changed_is_not_continued(plain):
    record(Recorder(plain, run="mine"), range(1))
    plain.set_labels([5], "c3")
    with pytest.raises(LabelAuditError, match=r"'mine' .* 1 of its labels were changed"):
        Recorder(plain, run="mine", resume=True)


def test_later_epochs_are_forgotten_where_training_goes_back(plain):
    recorder = Recorder(plain)
    record(recorder, range(3))
    recorder.update(recorder.ids, random_logits(9))
    recorder.forget_after(1)
    assert recorder.epochs == 1
    record(recorder, [7])
    run, ids, labels = recorder.finish(), plain.view().ids, labels_of(plain)
    expected = [by_hand(random_logits(seed), labels)[0] for seed in (0, 7)]
    np.testing.assert_allclose(run.dynamics(ids).margin, expected, rtol=1e-5)
    assert [row["epoch"] for row in run.info["curves"]] == [1, 2]


def test_what_begins_again_knows_nothing_of_before(plain):
    recorder = Recorder(plain)
    record(recorder, range(2))
    recorder.forget_after(0)
    recorder.update([1], random_logits(3, 1), learned=False)
    run = recorder.finish()
    assert (run.info["epochs"], run.info["learned"], run.info["held_out"]) == (1, 0, 1)
    assert next(run.logits())[0].tolist() == [1]
    assert np.isfinite(run.dynamics(np.array([1, 2])).margin).tolist() == [[True, False]]


def test_short_epochs_are_written_several_at_a_time(plain, monkeypatch):
    table = []
    append = Run.append_dynamics
    monkeypatch.setattr(
        Run, "append_dynamics", lambda self, *a: (table.append(sorted(set(a[0]))), append(self, *a))
    )
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(recording.time, "monotonic", lambda: next(clock))  # 2 s from look to look
    monkeypatch.setattr(recording, "WRITE_SECONDS", 9)
    recorder = Recorder(plain)
    record(recorder, range(6))
    run = recorder.finish()
    assert [epoch for some in table for epoch in some] == [1, 2, 3, 4, 5, 6]
    assert table[0] == [1]  # what cannot be written shows at once
    assert 2 < len(table) < 6
    assert run.dynamics(plain.view().ids).margin.shape == (6, 40)


def test_an_earlier_run_of_the_name_is_replaced_at_the_end(plain):
    first = Recorder(plain, run="mine")
    record(first, range(1))
    first = first.finish()
    second = Recorder(plain, run="mine")
    record(second, range(2))
    assert plain.run("mine").info["epochs"] == 1
    second = second.finish()
    assert plain.run("mine").id == second.id != first.id
    assert plain.run("mine").info["epochs"] == 2


@pytest.mark.system
def test_a_run_that_another_process_records_is_left_alone(plain):
    run = begin_run(plain.view().frame, "mine")
    lock = run.checkpoint.with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    code = f"""
from filelock import FileLock
with FileLock({str(lock)!r}):
    print("held", flush=True)
    input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LabelAuditError, match=r"'mine' .* another process"):
            Recorder(plain, run="mine")
        other.communicate("\n")
    Recorder(plain, run="mine")


def test_epochs_are_settled_in_pieces(plain, monkeypatch):
    """For any order of the rows on disk, and any samples of an epoch."""
    ids, labels = plain.view().ids, labels_of(plain)
    recorder = Recorder(plain)
    expected = np.full((4, 40), np.nan)
    for epoch in range(4):
        at = np.random.default_rng(epoch).permutation(30)[: 25 - epoch]
        logits = random_logits(epoch)
        recorder.update(ids[at], logits[at])
        recorder.end_epoch()
        expected[epoch, at] = by_hand(logits, labels)[0][at]
    monkeypatch.setattr(dynamics, "GATHERED_ROWS", 7)
    run = recorder.finish()
    np.testing.assert_allclose(run.dynamics(ids).margin, expected, rtol=1e-5)
    np.testing.assert_allclose(run.dynamics_of(ids[:30]).margin, expected[:, :30], rtol=1e-5)


# --- several processes ---

RANK = """
import sys, numpy as np, torch, labelaudit

def record(rank, meet, logits):
    recorder = labelaudit.Recorder(labelaudit.Dataset("plain"), run="mine")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    for epoch in range(2):
        at = np.arange(rank, 39, 2)
        recorder.update(recorder.ids[at], logits[epoch, at], logits[epoch, at, :3])
        if rank == 1:
            recorder.update(recorder.ids[[39]], logits[epoch, [39]], learned=False)
            # the first sample again, as DistributedSampler pads: rank 1 had it earlier
            recorder.update(recorder.ids[[0]], logits[epoch, [0]])
        recorder.end_epoch()
    run = recorder.finish()
    torch.distributed.destroy_process_group()
    return run

if __name__ == "__main__":
    assert record(1, sys.argv[1], np.load(sys.argv[2])) is None
"""


@pytest.mark.system
def test_ranks_come_together_in_one_run(plain, tmp_path):
    """Each rank creates its Recorder before the process group exists, as scripts do."""
    logits = np.stack([random_logits(0), random_logits(1)])
    np.save(tmp_path / "logits.npy", logits)
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    other = Program(RANK, tmp_path / "meet", tmp_path / "logits.npy")
    run = runpy.run_path(str(script))["record"](0, tmp_path / "meet", logits)
    assert other.wait() == 0
    ids, labels = plain.view().ids, labels_of(plain)
    expected = [by_hand(values, labels)[0] for values in logits]
    np.testing.assert_allclose(run.dynamics(ids).margin, expected, rtol=1e-5)
    predicted, stored = next(run.logits())
    np.testing.assert_array_equal(stored, logits[1][predicted - 1])
    assert len(stored) == 40
    assert np.isfinite(run.embeddings(ids)).all(axis=1).sum() == 39
    assert plain.runs == ["mine"]
    assert run.info["held_out"] == 1
