"""Models from elsewhere that lie in files, or are named: torch.export, TorchScript, timm,
torchvision. Nothing is unpickled."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.errors import LabelAuditError
from ..features.device import choose_device
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD
from .external_model import UINT8, UNIT, Network, Outside

SIZE = 224  # pixels a side that named networks get, where they say no other


def open_scripted(path: Path, preprocess, device: str) -> Outside:
    where = choose_device(device)
    try:
        with warnings.catch_warnings():  # torch calls TorchScript deprecated; its files are around
            warnings.simplefilter("ignore", FutureWarning)
            model = torch.jit.load(str(path), map_location=where)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise LabelAuditError(
            f"{path.name} is no TorchScript file: save the model with torch.export.save (.pt2) or "
            "torch.jit.save; weights alone go with a named model (weights=). Pickled models are "
            "not loaded."
        ) from error
    model.eval()
    return Outside(Network(model, preprocess or UNIT, where), path.name)


def open_exported(path: Path, preprocess, device: str) -> Outside:
    data = path.read_bytes()  # once: what is checked is what is loaded
    _refuse_pickles(data, path.name)
    try:
        program = torch.export.load(io.BytesIO(data))
        model = program.module().to(choose_device(device))
    except Exception as error:  # whatever its deserializer raises
        raise LabelAuditError(
            f"{path.name} cannot be loaded by torch.export ({type(error).__name__}): export it "
            f"with torch {torch.__version__.split('+')[0]}."
        ) from error
    names = program.graph_signature.user_inputs
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    shapes = [value.shape for value in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][2] != shapes[0][3]:
        raise LabelAuditError(
            f"{path.name} takes {[tuple(map(str, shape)) for shape in shapes]}: it must take one "
            "batch of square images (n, 3, S, S)."
        )
    rows, _, size, _ = (int(n) if type(n) is int else None for n in shapes[0])
    usual = UINT8 if inputs[0].dtype == torch.uint8 else UNIT
    return Outside(Network(model, preprocess or usual), path.name, size=size, rows=rows)


def _refuse_pickles(data: bytes, name: str) -> None:
    """torch.export.load unpickles some parts of a file, and runs compiled ones: not here."""
    refused = None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.namelist():
                part = entry.partition("/")[2]
                if part.startswith(("data/aotinductor/", "data/constants/custom_obj",
                                    "data/constants/opaque_obj")):  # fmt: skip
                    refused = part
                elif part.startswith(("data/weights/", "data/constants/")):
                    if part.endswith(".pt"):
                        refused = part
                    elif part.endswith(".json"):
                        config = json.loads(archive.read(entry))["config"]
                        if any(value.get("use_pickle") for value in config.values()):
                            refused = part
                elif part.startswith("data/sample_inputs/") and archive.getinfo(entry).file_size:
                    torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
            if not any("/models/" in entry for entry in archive.namelist()):
                refused = "an older format"
    except Exception as error:  # no zip, no JSON, or sample inputs that are no tensors
        raise LabelAuditError(
            f"{name} is no torch.export file, or holds more than tensors: export the model anew "
            "with torch.export.save."
        ) from error
    if refused:
        raise LabelAuditError(
            f"{name} holds {refused}, which would be unpickled or run: export the model anew with "
            "torch.export.save, with plain tensors as its weights."
        )


def open_named(
    name: str, classes: Sequence | None, weights, preprocess, device: str, count: int
) -> Outside:
    """A network of timm or torchvision, with weights from a file, or weights="pretrained"."""
    library, _, which = name.partition(":")
    if weights is None:
        raise LabelAuditError(
            f"{name} without weights knows nothing: give weights=, a .safetensors file (or a .pt "
            "of tensors), or weights='pretrained'."
        )
    pretrained = weights == "pretrained"
    if pretrained and classes is None:
        raise LabelAuditError(
            f"the pretrained {name} knows classes of its own: name all of them, in its order "
            "(classes=), as this dataset calls them."
        )
    width = len(classes) if classes is not None else count
    build = _from_timm if library == "timm" else _from_torchvision
    try:
        model, size, mean, std = build(which, width, pretrained)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        why = str(error).strip().strip("'\"").splitlines()[0][:200]
        raise LabelAuditError(f"{name} could not be made: {why}.") from error
    if not pretrained:
        _fill(model, Path(weights).expanduser(), name, width)
    model.eval()

    def normalised(images: torch.Tensor) -> torch.Tensor:
        centre, scale = (images.new_tensor(v, dtype=torch.float32) * 255 for v in (mean, std))
        return (images.float() - centre[:, None, None]) / scale[:, None, None]

    ask = Network(model, preprocess or normalised, choose_device(device))
    return Outside(ask, name, size=size)


def _from_timm(name: str, width: int, pretrained: bool):
    try:
        import timm
    except ImportError as error:
        raise LabelAuditError(
            f"timm:{name} needs the package timm: install it with pip install timm."
        ) from error
    own = {} if pretrained else {"num_classes": width}
    model = timm.create_model(name, pretrained=pretrained, **own)
    config = timm.data.resolve_model_data_config(model)
    return model, config["input_size"][-1], config["mean"], config["std"]


def _from_torchvision(name: str, width: int, pretrained: bool):
    from torchvision.models import get_model

    own = {"weights": "DEFAULT"} if pretrained else {"weights": None, "num_classes": width}
    mean, std = (np.array(v) / 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
    return get_model(name, **own), SIZE, mean.tolist(), std.tolist()


def _fill(model: nn.Module, path: Path, name: str, width: int) -> None:
    """Load weights from a file; never a pickle of more than tensors."""
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = next((state[k] for k in ("state_dict", "model", "model_state_dict")
                          if isinstance(state.get(k), dict)), state)  # fmt: skip
    except Exception as error:  # whatever the two raise on foreign bytes
        raise LabelAuditError(
            f"{path} cannot be read as weights: give a .safetensors file, or a .pt that holds "
            "tensors alone."
        ) from error
    state = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].strip()[:200]
        raise LabelAuditError(
            f"the weights of {path.name} do not fit {name} with {width:,} classes: {why}"
        ) from error
