"""Predictions of the user's own model: functions, estimators, torch modules and files."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

import labelaudit
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.predictions import predict_with as own
from labelaudit.predictions.predict_with import predict_with

N = 23


@pytest.fixture
def tiny(home):
    """23 images of 8 x 8, two classes: bright ones are "a"."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    images = rng.integers(0, 100, (N, 8, 8, 3), np.uint8) + (labels == 0)[:, None, None, None] * 120
    return labelaudit.load_arrays(
        "tiny", images.astype(np.uint8), ["a" if label == 0 else "b" for label in labels]
    )


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))


def stored(dataset, run: str = "own") -> np.ndarray:
    ids, logits = map(np.concatenate, zip(*dataset.run(run).logits(), strict=True))
    return logits[np.argsort(ids)]


def pixels(dataset) -> np.ndarray:
    return np.stack([np.asarray(sample.image.convert("RGB")) for sample in dataset.view()])


def brightness(images: np.ndarray) -> np.ndarray:
    mean = images.mean((1, 2, 3))
    return np.stack([mean - 110, 110 - mean], axis=1)


@pytest.mark.parametrize(("rows", "at_once"), [(64, 10_000), (5, 10_000), (5, 7), (1, 1)])
def test_a_function_gets_the_pixels_in_batches(tiny, monkeypatch, rows, at_once):
    monkeypatch.setattr(own, "ROWS", at_once)
    seen = []

    def model(images):
        seen.append((images.shape, images.dtype))
        return brightness(images)

    run = predict_with(tiny, model, batch_size=rows, image_size=8)
    assert all(shape[1:] == (8, 8, 3) and dtype == np.uint8 for shape, dtype in seen)
    assert max(shape[0] for shape, _ in seen) == min(rows, N)
    assert np.allclose(stored(tiny), brightness(pixels(tiny)), atol=1e-4)
    assert tiny.view().match(wrong=True).ids.tolist() == []
    assert len(tiny.view().match_tag("processed")) == N
    assert run.info["brought"]["kind"] == "logits"
    labelaudit.compute_scores(tiny)
    assert np.isfinite(tiny.view().values("suspicion")).all()


def test_a_part_of_the_dataset_and_classes_in_another_order(tiny):
    view = tiny.view().limit(9)
    predict_with(view, lambda images: brightness(images).tolist(), classes=["b", "a"], image_size=8)
    assert len(tiny.view().match(wrong=True)) == 9
    assert len(tiny.view().match_tag("processed")) == 9


def test_an_estimator_gets_flat_pixels_and_says_its_classes(tiny):
    from sklearn.linear_model import LogisticRegression

    flat = pixels(tiny).reshape(N, -1) / 255
    labels = np.array([{"a": "z", "b": "a"}[label] for label in tiny.view().values("ground_truth")])
    with pytest.raises(LabelAuditError, match="no column for class 'b'"):
        predict_with(tiny, LogisticRegression().fit(flat, labels))
    given = tiny.view().values("ground_truth").astype(str)
    model = LogisticRegression().fit(flat, given)
    run = predict_with(tiny, model)
    assert (run.info["brought"]["kind"], run.info["brought"]["image_size"]) == ("probabilities", 8)
    assert np.allclose(np.exp(stored(tiny)), model.predict_proba(flat), atol=1e-5)
    # classes by their place, features of its own
    grey = pixels(tiny).mean(3).reshape(N, -1)
    model = LogisticRegression(max_iter=1000).fit(grey, (given == "b").astype(int))
    predict_with(tiny, model, preprocess=lambda images: images.mean(3).reshape(len(images), -1))
    assert np.allclose(np.exp(stored(tiny)), model.predict_proba(grey), atol=1e-5)
    with pytest.raises(LabelAuditError, match=r"learned 64 features, and an image has 192"):
        predict_with(tiny, model)


def test_a_module_is_asked_where_it_lies_and_left_as_it_was(tiny, linear):
    linear.train()
    linear.insert(1, torch.nn.Dropout(0.9))
    predict_with(tiny, linear)
    assert linear.training
    linear.eval()
    images = torch.from_numpy(pixels(tiny)).permute(0, 3, 1, 2).float() / 255
    expected = linear(images).detach().numpy()
    assert np.allclose(stored(tiny), expected, atol=1e-5)
    vectors = tiny.run("own").all_embeddings()[1]  # what the last linear layer got
    assert np.allclose(vectors, images.flatten(1).numpy(), atol=1e-3)
    assert "neighbours" in labelaudit.compute_scores(tiny)
    assert not linear[-1]._forward_pre_hooks
    predict_with(tiny, linear, preprocess=lambda batch: batch.float() * 0, kind="logits")
    assert np.allclose(stored(tiny), linear[-1].bias.detach().numpy(), atol=1e-5)
    predict_with(tiny, linear, preprocess="imagenet")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images - mean[:, None, None]) / std[:, None, None]
    assert np.allclose(stored(tiny), linear(normalised).detach().numpy(), atol=1e-4)


def test_a_model_trained_here_says_the_same_as_its_run(audited):
    model, info = labelaudit.load_model(audited)
    labelaudit.predict(audited, "run-1", augment=False)
    predict_with(audited, model, preprocess="uint8", image_size=info["image_size"])
    labelaudit.compute_scores(audited, "own")
    labelaudit.compute_scores(audited, "run-1")
    trained, same = (audited.view(run).values("self_confidence") for run in ("run-1", "own"))
    # the one in bfloat16 where the processor has it
    assert np.corrcoef(trained, same)[0, 1] > 0.9999


def files(tmp_path, model):
    """The same model as TorchScript, and exported for any number of images, and for 4."""
    example = (torch.zeros(4, 3, 8, 8),)
    torch.jit.script(model).save(str(tmp_path / "m.pt"))
    dynamic = torch.export.export(model, example, dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(dynamic, tmp_path / "any.pt2")
    torch.export.save(torch.export.export(model, example), tmp_path / "four.pt2")
    return [tmp_path / name for name in ("m.pt", "any.pt2", "four.pt2")]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_models_from_files(tiny, linear, tmp_path):
    linear.eval()
    images = torch.from_numpy(pixels(tiny)).permute(0, 3, 1, 2).float() / 255
    expected = linear(images).detach().numpy()
    for path in files(tmp_path, linear):
        run = predict_with(tiny, path, path.stem, image_size=None if path.suffix == ".pt2" else 8)
        assert np.allclose(stored(tiny, path.stem), expected, atol=1e-5), path
        assert run.info["brought"]["source"] == path.name
    with pytest.raises(LabelAuditError, match=r"could not take images \(23, 3, 9, 9\)"):
        predict_with(tiny, tmp_path / "m.pt", image_size=9)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_no_pickle_is_loaded(tiny, linear, tmp_path):
    torch.save(linear, tmp_path / "whole.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("whole.pt", "plain.pt"):
        with pytest.raises(LabelAuditError, match="is not a TorchScript file"):
            predict_with(tiny, tmp_path / name)
        with pytest.raises(LabelAuditError, match="cannot be read as weights"):
            predict_with(tiny, "torchvision:resnet18", weights=tmp_path / name)
    torch.export.save(
        torch.export.export(linear.eval(), (torch.zeros(4, 3, 8, 8),)), tmp_path / "m.pt2"
    )
    bomb = io.BytesIO()
    torch.save(Bomb(), bomb)
    (tmp_path / "text.pt2").write_text("no zip")
    changes = {
        "sample_inputs/model.pt": lambda _: bomb.getvalue(),
        "weights/model_weights_config.json": _pickled,
        "constants/opaque_obj_0": None, "aotinductor/model/x.so": None, "weights/model.pt": None,
    }  # fmt: skip
    for part, change in changes.items():
        with zipfile.ZipFile(tmp_path / "m.pt2") as good:
            parts = {name: good.read(name) for name in good.namelist()}
        name = f"m/data/{part}"
        parts[name] = change(parts[name]) if change else bomb.getvalue()
        with zipfile.ZipFile(tmp_path / "bad.pt2", "w") as bad:
            for entry, data in parts.items():
                bad.writestr(entry, data)
        with pytest.raises(LabelAuditError, match=r"bad\.pt2 (is not a torch|contains )"):
            predict_with(tiny, tmp_path / "bad.pt2")
    with pytest.raises(LabelAuditError, match=r"text\.pt2 is not a torch\.export file"):
        predict_with(tiny, tmp_path / "text.pt2")
    assert tiny.runs == []


def _pickled(config: bytes) -> bytes:
    settings = json.loads(config)
    for value in settings["config"].values():
        value["use_pickle"] = True
    return json.dumps(settings).encode()


def test_a_named_network_with_weights_from_a_file(tiny, tmp_path):
    import safetensors.torch
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(1)
    net = mobilenet_v3_small(num_classes=2).eval()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}},
               tmp_path / "w.pt")  # fmt: skip
    for file in ("w.safetensors", "w.pt"):
        predict_with(tiny, "torchvision:mobilenet_v3_small", weights=tmp_path / file, image_size=32)
        logits = stored(tiny)
        assert tiny.run("own").has_embeddings()
    predict_with(tiny, net, "module", preprocess="imagenet", image_size=32)
    assert np.allclose(logits, stored(tiny, "module"), atol=1e-4)
    for options, says in [
        ({}, "needs weights: give"),
        ({"weights": "pretrained"}, "name all of them in its order"),
        ({"weights": tmp_path / "w.pt", "classes": ["a", "b", "c"]}, "do not fit .* 3 classes"),
        ({"weights": "/nowhere/w.pt"}, "cannot be read as weights"),
    ]:
        with pytest.raises(LabelAuditError, match=says):
            predict_with(tiny, "torchvision:mobilenet_v3_small", **options)
    with pytest.raises(LabelAuditError, match="torchvision:nonet could not be created"):
        predict_with(tiny, "torchvision:nonet", weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        (lambda images: images, {}, r"an array of uint8 \(23, 8, 8, 3\)"),
        (lambda images: np.zeros((2, 2)), {}, "returned 2 rows for 23 images"),
        (lambda images: np.zeros((len(images), 3)), {}, "has 3 columns and dataset 'tiny' 2"),
        (lambda images: [[1, 2], [3]] * 12, {}, "logits or probabilities"),
        (lambda images: np.full((len(images), 2), np.nan), {}, r"row 1 \(id 1\): .* is nan"),
        (brightness, {"kind": "odds"}, "kind='odds'"),
        (brightness, {"batch_size": 0}, "batch_size=0"),
        (brightness, {"preprocess": "grey"}, "preprocess='grey'"),
        (brightness, {"weights": "w.pt"}, "needs a named model"),
        ("/nowhere/m.pt", {}, "there is no file /nowhere/m.pt"),
        (3, {}, "a model of type int"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_stores_nothing(tiny, model, options, says):
    with pytest.raises(LabelAuditError, match=says):
        predict_with(tiny, model, **{"image_size": 8, **options})
    assert tiny.runs == []
    assert not tiny.view().frame.tags


def test_a_stop_or_a_late_error_leaves_the_earlier_run(tiny):
    predict_with(tiny, brightness, image_size=8)
    before = stored(tiny)
    with pytest.raises(StoppedError):
        predict_with(tiny, lambda images: -brightness(images), task=Task(stop=lambda: True))
    asked = []

    def fails(images):
        asked.append(len(images))
        if len(asked) > 3:
            raise KeyError("mine")
        return -brightness(images)

    with pytest.raises(KeyError, match="mine"):  # the user's own, not in our words
        predict_with(tiny, fails, batch_size=5)
    assert np.array_equal(stored(tiny), before)
    assert tiny.runs == ["own"]
