"""The callback for skorch, in a real net."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest
import torch
from training_loops import BATCH, EPOCHS, LEARNED, RATE, by_hand, check_example, check_recorded

from labelaudit import Recorder

skorch = pytest.importorskip("skorch")


class Module(torch.nn.Module):
    def __init__(self, start: torch.nn.Module, softmax: bool = False) -> None:
        super().__init__()
        self.net, self.softmax = torch.nn.Linear(64, 10), softmax
        self.net.load_state_dict(start.state_dict())

    def forward(self, x):
        logits = self.net(x)
        return logits.softmax(1) if self.softmax else logits


def net_of(known, callback, criterion, **options):
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    held_out = Dataset(
        {"x": known.x[LEARNED:], "id": torch.from_numpy(known.ids[LEARNED:])}, known.y[LEARNED:]
    )
    return skorch.NeuralNetClassifier(
        Module, module__start=known.start, module__softmax=criterion is torch.nn.NLLLoss,
        criterion=criterion, optimizer=torch.optim.SGD, lr=RATE, batch_size=BATCH,
        max_epochs=EPOCHS, callbacks=[callback], verbose=0,
        train_split=predefined_split(held_out), **options,
    )  # fmt: skip


@pytest.mark.parametrize("criterion", [torch.nn.CrossEntropyLoss, torch.nn.NLLLoss])
def test_dynamics_are_those_of_the_model(home, criterion):
    from labelaudit.callbacks.skorch import LabelAuditCallback

    known = by_hand()
    net = net_of(known, LabelAuditCallback(Recorder(known.dataset, run="mine")), criterion)
    x = {"x": known.x[:LEARNED], "id": torch.from_numpy(known.ids[:LEARNED])}
    net.fit(x, known.y[:LEARNED])
    if criterion is torch.nn.NLLLoss:  # logits of a softmax are known but for a constant each
        known.logits = torch.from_numpy(known.logits).log_softmax(1).numpy()
    check_recorded(known, "mine")
    assert (net.predict(x) == net.predict({"x": known.x[:LEARNED]})).all()
    assert "callbacks__LabelAuditCallback__recorder" in net.get_params()
    pickle.dumps(net.module_)


def test_without_ids_it_says_how(home, caplog):
    from labelaudit.callbacks.skorch import LabelAuditCallback

    known = by_hand()
    net = net_of(known, LabelAuditCallback(Recorder(known.dataset)), torch.nn.CrossEntropyLoss)
    with caplog.at_level(logging.WARNING, "labelaudit"):
        net.fit(np.asarray(known.x[:LEARNED]), known.y[:LEARNED])
    assert "without ids is not recorded: fit on {" in caplog.records[0].getMessage()


def test_the_example_of_the_docs(home):
    # skorch holds out a fifth of what it is given
    check_example("skorch", "skorch", learned=1149, held_out=288)
