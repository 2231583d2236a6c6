"""Trainings that are interrupted and resumed."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import safetensors.torch
import torch
from filelock import FileLock
from forks import Program

import labelaudit
from labelaudit import TrainConfig, load_arrays, resume_training, train
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task, never
from labelaudit.dataset.runs import unfinished_runs
from labelaudit.learn import checkpoint
from labelaudit.learn.checkpoint import Checkpoint
from labelaudit.learn.training import Training
from labelaudit.storage import paths

CONFIG = TrainConfig(epochs=5, batch_size=16, threads=1, device="cpu")


class CutError(Exception):
    """Simulates a sudden end of the process."""


def every_step(progress, stop=never) -> Task:
    """A task that reports after every step."""
    return Task(progress, stop, interval=0)


@pytest.fixture
def stripes(home):
    """60 coloured images of two classes, some with wrong labels; training later leaves some out."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (60, 16, 16, 3), np.uint8)
    labels = np.arange(60) % 2
    images[labels == 1, :, ::2] += 180
    images[labels == 0, ::2] += 180
    labels[:12:3] = 1 - labels[:12:3]
    splits = ["train"] * 48 + ["test"] * 12
    return load_arrays("stripes", images, labels, classes=["flat", "tall"], splits=splits)


def cut_in(epoch: int, step: int = 2):
    """A progress callback that ends the training in this epoch."""

    def progress(report) -> None:
        if report.epoch == epoch and report.step >= step:
            raise CutError

    return progress


def cut(dataset, epoch: int = 3, run: str | None = None, config: TrainConfig = CONFIG) -> None:
    with pytest.raises(CutError):
        train(dataset, run, config, task=every_step(cut_in(epoch)))


def assert_same_outcome(first, second, ids) -> None:
    a, b = first.dynamics(ids), second.dynamics(ids)
    np.testing.assert_array_equal(a.margin, b.margin)
    np.testing.assert_array_equal(a.p_label, b.p_label)
    one, other = (safetensors.torch.load(run.weights()) for run in (first, second))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in first.info["curves"]]
    assert strip == [
        {k: v for k, v in row.items() if k != "seconds"} for row in second.info["curves"]
    ]


@pytest.mark.parametrize("epoch", [2, 5])
def test_a_resumed_training_equals_one_without_a_break(stripes, epoch):
    whole = train(stripes, "whole", CONFIG)
    cut(stripes, epoch, "cut")
    assert stripes.runs == ["whole"]
    assert stripes.unfinished_runs == ["cut"]
    reports = []
    resumed = resume_training(stripes, task=every_step(reports.append))
    assert resumed.name == "cut"
    assert resumed.info["epochs"] == 5
    assert not resumed.info["stopped"]
    assert_same_outcome(whole, resumed, stripes.view().ids)
    training = [report for report in reports if report.stage == "training"]
    assert training[0].epoch == epoch
    assert training[0].done == training[0].total * (epoch - 1) // 5  # not from the start
    assert len(training[0].curves) == epoch - 1
    assert stripes.unfinished_runs == []
    assert not any(paths.checkpoints("stripes").iterdir())


@pytest.mark.system
def test_a_backbone_with_dropout_resumes_exactly(stripes):
    config = TrainConfig(model="mobilenet_v3_small", pretrained=False, epochs=2, image_size=32,
                         batch_size=24, threads=1, device="cpu")  # fmt: skip
    whole = train(stripes, "whole", config)
    cut(stripes, 2, "cut", config)
    assert_same_outcome(whole, resume_training(stripes, "cut"), stripes.view().ids)


def test_dynamics_of_an_epoch_without_its_checkpoint_are_recorded_again(stripes, monkeypatch):
    whole = train(stripes, "whole", CONFIG)
    written = []

    def write(training, recent_margin) -> None:
        if len(training.curves) == 3:
            raise CutError
        written.append(len(training.curves))
        write_really(training, recent_margin)

    write_really = checkpoint.write
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", write)
        with pytest.raises(CutError):
            train(stripes, "cut", CONFIG)
    assert written == [1, 2]
    (run,) = unfinished_runs(stripes.view().frame)
    ids = stripes.view().ids
    assert len(run.dynamics(ids).margin) == 3
    resume_training(stripes, "cut")
    assert run.dynamics(ids).margin.shape == (5, 60)
    assert_same_outcome(whole, run, ids)


@pytest.mark.system
def test_a_training_ended_by_kill_9_is_resumed(stripes):
    code = (
        "import os, signal, labelaudit\n"
        "def progress(report):\n"
        "    if report.epoch == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "config = labelaudit.TrainConfig(epochs=5, batch_size=16, threads=1, device='cpu')\n"
        "labelaudit.train(labelaudit.Dataset('stripes'), 'cut', config, labelaudit.Task(progress))"
    )
    assert Program(code).wait() == -signal.SIGKILL
    assert stripes.runs == []
    assert stripes.unfinished_runs == ["cut"]
    resumed = resume_training(stripes, "cut")
    assert_same_outcome(train(stripes, "whole", CONFIG), resumed, stripes.view().ids)


def test_one_killed_after_its_last_epoch_is_only_saved(stripes, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_save", lambda self, stopped: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(stripes, "cut", CONFIG)
    steps = []
    monkeypatch.setattr(Training, "_step", lambda *_: steps.append(1))
    assert resume_training(stripes, "cut").info["epochs"] == 5
    assert steps == []


def test_a_view_that_was_learned_is_learned_on(stripes):
    view = stripes.view().match(label="flat")
    chosen = stripes.view().select(np.concatenate([view.ids, [2, 3]]))
    whole = train(chosen, "whole", CONFIG)
    with pytest.raises(CutError):
        train(chosen, "cut", CONFIG, task=every_step(cut_in(3, step=1)))
    resumed = resume_training(stripes)
    assert resumed.info["learned"] == whole.info["learned"] == len(chosen)
    assert_same_outcome(whole, resumed, stripes.view().ids)


def test_what_changed_since_is_reported_and_nothing_is_lost(stripes):
    cut(stripes, run="cut")
    stripes.set_labels([1, 2, 5], "tall")
    changed = int((stripes.view().frame.label != _labels_of(stripes)).sum())
    assert changed
    with pytest.raises(LabelAuditError, match=f"{changed} of its labels were changed"):
        resume_training(stripes)
    assert stripes.unfinished_runs == ["cut"]
    names = {0: "flat", 1: "tall"}
    stripes.set_labels(stripes.view().ids, [names[y] for y in _labels_of(stripes).tolist()])
    assert resume_training(stripes).info["epochs"] == 5  # as they were: it goes on


def _labels_of(dataset) -> np.ndarray:
    (run,) = unfinished_runs(dataset.view().frame)
    return Checkpoint(run.checkpoint).tensors["labels"].numpy()


def test_a_stop_while_it_continues_keeps_the_epochs_of_both(stripes):
    cut(stripes, 4, "cut")
    seen = []

    def progress(report) -> None:
        if report.stage == "training" and report.step:
            seen.append(report.step)

    resumed = resume_training(stripes, task=every_step(progress, lambda: bool(seen)))
    assert resumed.info["stopped"]
    assert resumed.info["epochs"] == 3
    assert len(resumed.dynamics(stripes.view().ids).margin) == 3
    assert stripes.unfinished_runs == []


def test_a_stop_before_it_continues_leaves_it_to_be_resumed(stripes):
    cut(stripes)
    with pytest.raises(StoppedError):
        resume_training(stripes, task=Task(stop=lambda: True))  # while the images are read
    assert stripes.unfinished_runs == ["run-1"]


def test_a_stop_while_an_epoch_is_recorded_is_obeyed(stripes):
    config = TrainConfig(epochs=5, batch_size=48, threads=1)
    reports = []
    steps_of_two_epochs = 2

    def stop() -> bool:  # asked once a step and once an evaluated batch
        return sum(report.stage == "training" for report in reports) > 2 * steps_of_two_epochs + 1

    run = train(stripes, config=config, task=every_step(reports.append, stop))
    assert run.info["stopped"]
    assert run.info["epochs"] == len(run.dynamics(stripes.view().ids).margin) < 5


def test_nothing_to_resume_is_reported(stripes):
    with pytest.raises(LabelAuditError, match="no training was interrupted"):
        resume_training(stripes)
    cut(stripes, run="a")
    with pytest.raises(LabelAuditError, match=r"no run 'b' that can be resumed here: .* one of a"):
        resume_training(stripes, "b")
    with pytest.raises(CutError):  # in its first epoch: there is nothing to keep
        train(stripes, "b", CONFIG, task=every_step(cut_in(1)))
    assert stripes.unfinished_runs == ["a"]
    states = stripes.view().store.read("runs", ["name", "state"]).to_pylist()
    assert {row["name"]: row["state"] for row in states} == {"a": "begun", "b": "gone"}


def test_a_loss_that_explodes_is_not_kept_to_explode_again(stripes):
    config = TrainConfig(epochs=60, learning_rate=100, batch_size=16, threads=1)
    with pytest.raises(LabelAuditError, match="the loss became"):
        train(stripes, config=config)
    assert stripes.unfinished_runs == []


def test_a_run_that_is_being_trained_is_not_trained_twice(stripes):
    cut(stripes, run="x")
    (run,) = unfinished_runs(stripes.view().frame)
    with FileLock(run.checkpoint.with_suffix(".lock")):  # as the process that trains it does
        assert stripes.unfinished_runs == []
        with pytest.raises(LabelAuditError, match="run 'x' of dataset 'stripes' is being trained"):
            resume_training(stripes, "x")
        with pytest.raises(LabelAuditError, match="or give this one another name"):
            train(stripes, "x", CONFIG)
        with pytest.raises(LabelAuditError, match="by another process"):
            resume_training(stripes, run)
    assert resume_training(stripes, "x").info["epochs"] == 5


def test_a_run_trained_again_leaves_nothing_of_the_one_cut_short(stripes):
    cut(stripes, run="x")
    (left,) = unfinished_runs(stripes.view().frame)
    train(stripes, "x", CONFIG)
    assert not left.checkpoint.exists()
    assert stripes.unfinished_runs == []
    assert f"dynamics-{left.id}" not in stripes.view().store.tables()
    assert left.state == "gone"
    with pytest.raises(LabelAuditError, match="already finished or deleted"):
        resume_training(stripes, left)


def test_deleted_and_replaced_datasets_leave_no_checkpoint(stripes):
    cut(stripes)
    folder = paths.checkpoints("stripes")
    assert list(folder.iterdir())
    labelaudit.delete_dataset("stripes")
    assert not folder.exists()
    images = np.zeros((4, 8, 8), np.uint8)
    for _ in range(2):
        folder.mkdir(parents=True)
        (folder / "left.safetensors").touch()
        dataset = load_arrays("stripes", images, ["a", "b", "a", "b"], overwrite=True)
        assert not folder.exists()
        assert dataset.unfinished_runs == []


def test_homes_and_datasets_of_one_name_share_no_checkpoint(stripes, tmp_path, monkeypatch):
    first = stripes.new_run().checkpoint
    labelaudit.delete_dataset("stripes")
    images = np.zeros((4, 8, 8), np.uint8)
    second = load_arrays("stripes", images, ["a", "b", "a", "b"]).new_run().checkpoint
    monkeypatch.setenv("LABELAUDIT_HOME", str(tmp_path / "other"))
    third = load_arrays("stripes", images, ["a", "b", "a", "b"]).new_run().checkpoint
    assert len({first, second, third}) == 3
    assert first.parent == second.parent != third.parent


def test_a_checkpoint_is_no_pickle_and_a_damaged_one_is_reported(stripes):
    cut(stripes)
    (run,) = unfinished_runs(stripes.view().frame)
    data = run.checkpoint.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    state = json.loads(header["__metadata__"]["state"])
    assert len(state["curves"]) == 2
    assert state["numpy_rng"][0]["bit_generator"] == "PCG64"
    run.checkpoint.write_bytes(data[: len(data) // 2])
    with pytest.raises(LabelAuditError, match="cannot be read"):
        resume_training(stripes)
