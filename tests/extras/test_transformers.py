"""The callback for Hugging Face's Trainer, in the real one."""

from __future__ import annotations

import logging
import pickle

import pytest
import torch
from training_loops import BATCH, EPOCHS, LEARNED, RATE, by_hand, check_example, check_recorded

from labelaudit import Recorder

transformers = pytest.importorskip("transformers")


class Model(torch.nn.Module):
    def __init__(self, start: torch.nn.Module) -> None:
        super().__init__()
        self.net = torch.nn.Linear(64, 10)
        self.net.load_state_dict(start.state_dict())

    def forward(self, pixel_values, labels=None):
        logits = self.net(pixel_values)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def trainer_of(known, callback, folder, with_ids=True, **options):
    rows = [
        {"pixel_values": x, "labels": y} | ({"id": i} if with_ids else {})
        for x, y, i in zip(known.x, known.y, known.ids.tolist(), strict=True)
    ]
    arguments = transformers.TrainingArguments(
        str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH, learning_rate=RATE, lr_scheduler_type="constant",
        optim="sgd", max_grad_norm=0, weight_decay=0, train_sampling_strategy="sequential",
        remove_unused_columns=False, eval_strategy="epoch", report_to="none", use_cpu=True,
        save_strategy="no", disable_tqdm=True, **options,
    )  # fmt: skip
    return transformers.Trainer(
        Model(known.start), arguments, train_dataset=rows[:LEARNED], eval_dataset=rows[LEARNED:],
        callbacks=[callback],
    )  # fmt: skip


def test_dynamics_are_those_of_the_model(home, tmp_path):
    from labelaudit.callbacks.transformers import LabelAuditCallback

    known = by_hand()
    callback = LabelAuditCallback(Recorder(known.dataset, run="mine"))
    trainer = trainer_of(known, callback, tmp_path, eval_on_start=True)
    trainer.evaluate()  # before any epoch: not recorded, and no trouble with the ids
    trainer.train()
    check_recorded(known, "mine")
    assert "eval_loss" in trainer.evaluate()
    assert known.dataset.run("mine").info["notes"] == []
    pickle.dumps(trainer.model)


def test_batches_may_be_accumulated(home, tmp_path):
    """Every micro-batch is recorded: in the first step all are of the untrained model."""
    from labelaudit.callbacks.transformers import LabelAuditCallback

    known = by_hand()
    callback = LabelAuditCallback(Recorder(known.dataset, run="mine"))
    trainer_of(known, callback, tmp_path, gradient_accumulation_steps=4).train()
    run = known.dataset.run("mine")
    logits = known.start(known.x[:LEARNED]).detach()
    given = known.y[:LEARNED, None]
    margin = logits.gather(1, given)[:, 0] - logits.scatter(1, given, -torch.inf).amax(1)
    recorded = run.dynamics(known.ids[:LEARNED]).margin
    assert recorded.shape == (EPOCHS, LEARNED)
    assert torch.allclose(torch.from_numpy(recorded[0]), margin, atol=1e-4)


def test_without_ids_it_says_how(home, tmp_path, caplog):
    from labelaudit.callbacks.transformers import LabelAuditCallback

    known = by_hand()
    callback = LabelAuditCallback(Recorder(known.dataset))
    with caplog.at_level(logging.WARNING, "labelaudit"):
        trainer_of(known, callback, tmp_path, with_ids=False).train()
    said = [r.getMessage() for r in caplog.records if r.name.startswith("labelaudit")]
    assert "without ids is not recorded: let the dataset yield 'id'" in said[0]
    assert len(said) == 2
    assert known.dataset.runs == []


def test_the_example_of_the_docs(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_example("Hugging Face Trainer", "transformers")
