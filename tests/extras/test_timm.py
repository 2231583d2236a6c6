"""Predictions of a timm network with the user's own weights."""

from __future__ import annotations

import numpy as np
import pytest

timm = pytest.importorskip("timm")

import labelaudit  # noqa: E402
from labelaudit.core.errors import LabelAuditError  # noqa: E402

NAME = "test_resnet"  # timm's smallest, made for tests


def test_a_timm_network_says_what_timm_says(home, tmp_path):
    import safetensors.torch
    import torch

    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    dataset = labelaudit.load_arrays("tiny", images, ["a", "b", "c"] * 2)
    torch.manual_seed(0)
    net = timm.create_model(NAME, num_classes=3).eval()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    options = {"weights": tmp_path / "w.safetensors", "image_size": 16, "classes": ["c", "b", "a"]}
    run = labelaudit.predict_with(dataset, f"timm:{NAME}", **options)
    config = timm.data.resolve_model_data_config(net)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    batch = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    expected = net(batch).detach().numpy()[:, ::-1]
    logits = np.concatenate([logits for _, logits in run.logits()])
    assert np.allclose(logits, expected, atol=1e-4)
    assert run.has_embeddings()
    assert np.isfinite(dataset.view().values("confidence")).all()
    with pytest.raises(LabelAuditError, match="timm:nonet could not be created"):
        labelaudit.predict_with(dataset, "timm:nonet", weights=tmp_path / "w.safetensors")


def test_without_a_file_it_gets_the_size_that_it_was_made_for(home, tmp_path):
    import torch

    dataset = labelaudit.load_arrays("tiny", np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])
    net = timm.create_model(NAME, num_classes=2)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    run = labelaudit.predict_with(dataset, f"timm:{NAME}", weights=tmp_path / "w.pt")
    size = timm.data.resolve_model_data_config(net)["input_size"][-1]
    assert run.info["brought"]["image_size"] == size
