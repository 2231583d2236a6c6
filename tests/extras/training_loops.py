"""Shared by the callbacks' tests: a small hand-written training loop, and the docs' examples."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

import labelaudit
from labelaudit.scores.probability import best_other, of_label, probabilities

DOCS = Path(__file__).resolve().parents[2] / "docs" / "training-loops.md"
BATCH, RATE, EPOCHS, LEARNED, HELD_OUT = 50, 0.1, 3, 200, 60


def example(title: str) -> str:
    """Return the code under this heading of the docs, after the part that all examples share."""
    text = DOCS.read_text()
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    blocks = re.findall(r"```python\n(.*?)```", section, re.S)
    return re.search(r"```python\n(.*?)```", text, re.S)[1] + "\n".join(blocks)


def by_hand() -> SimpleNamespace:
    """Some digits, a linear model, and what a plain loop records of it: SGD, no shuffling.

    `margin`, `p_label` (epochs, n) as they were in the training step, `after_margin` (epochs, n) at
    the end of each epoch, of the LEARNED and then the HELD_OUT samples; `logits` (n, C), the last.
    """
    dataset = labelaudit.load_dataset("digits")
    view = dataset.view().limit(LEARNED + HELD_OUT)
    images = np.stack([np.asarray(s.image.convert("L").resize((8, 8))) for s in view])
    x = torch.tensor(images.reshape(len(images), -1) / 255, dtype=torch.float32)
    y = torch.from_numpy(view.frame.label[view.positions()]).long()
    torch.manual_seed(0)
    start = torch.nn.Linear(64, 10)
    model = torch.nn.Linear(64, 10)
    model.load_state_dict(start.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    during = np.zeros((EPOCHS, len(x), 10), np.float32)
    after = np.zeros_like(during)
    for epoch in range(EPOCHS):
        for first in range(0, LEARNED, BATCH):
            at = slice(first, first + BATCH)
            logits = model(x[at])
            during[epoch, at] = logits.detach().numpy()
            optimizer.zero_grad()
            F.cross_entropy(logits, y[at]).backward()
            optimizer.step()
        after[epoch] = model(x).detach().numpy()
    during[:, LEARNED:] = after[:, LEARNED:]
    labels = y.numpy()
    margin = np.stack([of_label(z, labels) - best_other(z, labels) for z in during])
    return SimpleNamespace(
        dataset=dataset, x=x, y=y, ids=view.ids, start=start, logits=during[-1], margin=margin,
        p_label=np.stack([of_label(probabilities(z), labels) for z in during]),
        after_margin=np.stack([of_label(z, labels) - best_other(z, labels) for z in after]),
    )  # fmt: skip


def check_recorded(known: SimpleNamespace, name: str) -> None:
    """The run equals the hand-written loop; the held-out samples are out of sample."""
    run = known.dataset.run(name)
    some = run.dynamics(known.ids)
    near = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(some.margin, known.margin, **near)
    np.testing.assert_allclose(some.p_label, known.p_label, **near)
    assert np.isnan(some.out_margin[:, :LEARNED]).all()
    np.testing.assert_allclose(some.out_margin[:, LEARNED:], known.margin[:, LEARNED:], **near)
    ids, logits = next(run.logits())
    np.testing.assert_array_equal(ids, known.ids)
    np.testing.assert_allclose(logits, known.logits, **near)
    assert run.info["notes"] == []


def check_example(title: str, name: str, learned: int = 1437, held_out: int = 360) -> None:
    """The example of the docs runs unchanged, and its run can be scored."""
    exec(compile(example(title), str(DOCS), "exec"), {"__name__": "example"})
    dataset = labelaudit.Dataset("digits")
    info = dataset.run(name).info
    assert (info["epochs"], info["learned"], info["held_out"]) == (2, learned, held_out)
    assert info["notes"] == []
    assert "aum" in labelaudit.compute_scores(dataset, name, ["aum", "self_confidence"])
