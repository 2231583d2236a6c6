"""The callback for Keras 3, on its torch backend."""

from __future__ import annotations

import logging
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from training_loops import BATCH, EPOCHS, LEARNED, RATE, by_hand, check_example

from labelaudit import Recorder
from labelaudit.core.errors import LabelAuditError

keras = pytest.importorskip("keras")


def model_of(known, softmax: bool):
    model = keras.Sequential(
        [keras.layers.Input((64,)), keras.layers.Dense(10, "softmax" if softmax else None)]
    )
    weights = known.start.weight.detach().numpy().T, known.start.bias.detach().numpy()
    model.set_weights(weights)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(keras.optimizers.SGD(RATE), loss)
    return model


@pytest.mark.parametrize(("softmax", "loader"), [(False, False), (True, False), (False, True)])
def test_dynamics_are_those_of_the_model(home, softmax, loader):
    from labelaudit.callbacks.keras import LabelAuditCallback

    known = by_hand()
    x, y, ids = known.x.numpy(), known.y.numpy(), known.ids
    parts = [(x[:LEARNED], ids[:LEARNED]), (x[LEARNED:], ids[LEARNED:])]
    if loader:
        rows = list(zip(known.x, known.y, ids.tolist(), strict=True))
        parts = [(DataLoader(some, 32), None) for some in (rows[:LEARNED], rows[LEARNED:])]
    callback = LabelAuditCallback(
        Recorder(known.dataset, run="mine"), *parts[0], held_out=parts[1], batch_size=64
    )
    model_of(known, softmax).fit(
        x[:LEARNED], y[:LEARNED], batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0,
        callbacks=[callback],
    )  # fmt: skip
    learned, last = known.after_margin[:, :LEARNED], known.logits.copy()
    run = known.dataset.run("mine")
    recorded = run.dynamics(ids[:LEARNED])
    np.testing.assert_allclose(recorded.margin, learned, rtol=1e-3, atol=1e-4)
    held_out = run.dynamics(ids[LEARNED:])
    np.testing.assert_allclose(held_out.out_margin, known.margin[:, LEARNED:], rtol=1e-3, atol=1e-4)
    logits = next(run.logits())[1][LEARNED:]
    expected = torch.from_numpy(last[LEARNED:])
    expected = expected.log_softmax(1) if softmax else expected
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_every_second_epoch(home):
    from labelaudit.callbacks.keras import LabelAuditCallback

    known = by_hand()
    x, y = known.x.numpy()[:LEARNED], known.y.numpy()[:LEARNED]
    callback = LabelAuditCallback(
        Recorder(known.dataset, run="mine"), x, known.ids[:LEARNED], every=2
    )
    model_of(known, False).fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[callback]
    )
    recorded = known.dataset.run("mine").dynamics(known.ids[:LEARNED]).margin
    np.testing.assert_allclose(recorded, known.after_margin[1:2, :LEARNED], rtol=1e-3, atol=1e-4)


def test_what_does_not_fit_is_reported(home, caplog):
    from labelaudit.callbacks.keras import LabelAuditCallback

    known = by_hand()
    recorder, x = Recorder(known.dataset), known.x.numpy()
    with pytest.raises(LabelAuditError, match="3 ids were given with 260 images"):
        LabelAuditCallback(recorder, x, [1, 2, 3])
    with pytest.raises(LabelAuditError, match="every=0"):
        LabelAuditCallback(recorder, x, known.ids, every=0)
    pairs = DataLoader(list(zip(known.x, known.y, strict=True)), 64)
    with caplog.at_level(logging.WARNING, "labelaudit"):
        model_of(known, False).fit(
            x, known.y.numpy(), verbose=0, callbacks=[LabelAuditCallback(recorder, pairs)]
        )
    assert "without ids is not recorded: give ids=" in caplog.records[0].getMessage()


def test_the_example_of_the_docs(home):
    check_example("Keras 3", "keras")
