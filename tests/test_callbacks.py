"""Callbacks of frameworks that are not installed. tests/extras tests them with the frameworks."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import torch

from labelaudit.callbacks.batches import ids_of, logits_of
from labelaudit.core.errors import LabelAuditError


@pytest.mark.parametrize("name", ["lightning", "transformers", "skorch", "keras"])
def test_a_missing_framework_is_one_sentence(name, monkeypatch):
    for part in (name, f"{name}.pytorch", f"{name}.callbacks"):
        monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.delitem(sys.modules, f"labelaudit.callbacks.{name}", raising=False)
    with pytest.raises(LabelAuditError, match=f"pip install {name}"):
        import_module(f"labelaudit.callbacks.{name}")


def test_ids_are_found_in_a_batch():
    assert ids_of(("image", "label", [1, 2])) == [1, 2]
    assert ids_of({"x": 0, "id": [3]}) == ids_of({"ids": [3]}) == [3]
    assert ids_of(("image", "label")) is ids_of({"x": 0}) is ids_of("abc") is None


def test_logits_are_found_in_an_output():
    logits, loss = torch.zeros(2, 4), torch.tensor(0.5)

    class Output:
        def __init__(self) -> None:
            self.logits = logits

    for output in ({"loss": loss, "logits": logits}, Output(), (loss, logits), logits):
        assert logits_of(output) is logits
    assert logits_of(loss) is logits_of({"loss": loss}) is logits_of((loss,)) is None
