"""The callback for Lightning, in the real Trainer."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.utils.data import DataLoader
from training_loops import (
    BATCH,
    EPOCHS,
    HELD_OUT,
    LEARNED,
    RATE,
    by_hand,
    check_example,
    check_recorded,
)

from labelaudit import Recorder

lightning = pytest.importorskip("lightning")


class Module(lightning.LightningModule):
    """how: how the steps return the logits."""

    def __init__(self, start: torch.nn.Module, how: str) -> None:
        super().__init__()
        self.net, self.how = torch.nn.Linear(64, 10), how
        self.net.load_state_dict(start.state_dict())

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else batch[:2]
        logits = self(x) if self.how == "forward" else self.net(x)
        loss = torch.nn.functional.cross_entropy(logits, y)
        return {"loss": loss, "logits": logits} if self.how == "returned" else loss

    def validation_step(self, batch, batch_index):
        out = self.training_step(batch, batch_index)
        return out if self.how == "returned" else None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), RATE)


def fit(module, callback, known, keys=None, epochs=EPOCHS, **options):
    rows = list(zip(known.x, known.y, known.ids.tolist(), strict=True))
    rows = [dict(zip(keys, row, strict=True)) for row in rows] if keys else rows
    train, held_out = DataLoader(rows[:LEARNED], BATCH), DataLoader(rows[LEARNED:], BATCH)
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", **options,
    )  # fmt: skip
    trainer.fit(module, train, held_out)
    return trainer, held_out


@pytest.mark.parametrize("how", ["returned", "forward", "module"])
def test_dynamics_are_those_of_the_model(home, how):
    from labelaudit.callbacks.lightning import LabelAuditCallback

    known = by_hand()
    recorder = Recorder(known.dataset, run=how)
    callback = LabelAuditCallback(recorder, module="net" if how == "module" else None)
    keys = ("x", "y", "id") if how == "module" else None
    module = Module(known.start, how)
    trainer, held_out = fit(module, callback, known, keys)
    check_recorded(known, how)
    assert known.dataset.run(how).info["held_out"] == HELD_OUT
    trainer.validate(module, held_out, verbose=False)  # not in training: not recorded
    assert known.dataset.run(how).info["notes"] == []
    assert not module._forward_hooks


def test_without_ids_or_logits_it_says_how(home, caplog):
    from labelaudit.callbacks.lightning import LabelAuditCallback

    known = by_hand()
    for callback, what in (
        (LabelAuditCallback(Recorder(known.dataset)), "a batch without logits"),
        (LabelAuditCallback(Recorder(known.dataset), "net", ids=lambda _: None), "without ids"),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "labelaudit"):
            fit(Module(known.start, "none"), callback, known, epochs=1)
        assert what in caplog.records[0].getMessage()
        assert "nothing was recorded" in caplog.records[1].getMessage()
        assert len(caplog.records) == 2
    assert known.dataset.runs == []


def test_a_fit_that_continues_forgets_what_it_does_again(home):
    from labelaudit.callbacks.lightning import LabelAuditCallback

    known = by_hand()
    recorder = Recorder(known.dataset, run="mine")
    recorder.update(known.ids, known.logits)
    recorder.end_epoch()
    fit(Module(known.start, "forward"), LabelAuditCallback(recorder), known)
    check_recorded(known, "mine")


def test_the_example_of_the_docs(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_example("Lightning", "lightning")
