"""Opens external models in files or by name: torch.export, TorchScript, timm, torchvision.

Nothing is unpickled.
"""

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

from ..core.errors import BadInputError, DamagedError, LabelAuditError
from ..core.plural import counted
from ..features.device import choose_device
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD
from .classes import HOW_TO_NAME_CLASSES
from .external_model import UINT8, UNIT, ExternalModel, Network

SIZE = 224  # side in pixels of the input of torchvision networks
NOT_TENSORS = ("data/aotinductor/", "data/constants/custom_obj", "data/constants/opaque_obj")
STATE_KEYS = ("state_dict", "model", "model_state_dict")  # of dicts in which weights are saved


def open_scripted(path: Path, preprocess, device: str) -> ExternalModel:
    """Open a TorchScript file."""
    where = choose_device(device)
    try:
        with warnings.catch_warnings():  # torch deprecates TorchScript, but its files still exist
            warnings.simplefilter("ignore", FutureWarning)
            model = torch.jit.load(str(path), map_location=where)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise BadInputError(
            f"{path.name} is not a TorchScript file: save the model with torch.export.save (.pt2) "
            "or torch.jit.save; weights alone need a named model (weights=). Pickled models are "
            "not loaded."
        ) from error
    model.eval()
    return ExternalModel(Network(model, preprocess or UNIT, where), path.name)


def open_exported(path: Path, preprocess, device: str) -> ExternalModel:
    """Open a torch.export file."""
    data = path.read_bytes()  # read once: the checked bytes are the loaded bytes
    _refuse_pickles(data, path.name)
    try:
        program = torch.export.load(io.BytesIO(data))
        model = program.module().to(choose_device(device))
    except Exception as error:  # the deserializer raises many types
        raise DamagedError(
            f"{path.name} cannot be loaded by torch.export ({type(error).__name__}): export it "
            f"with torch {torch.__version__.split('+')[0]}."
        ) from error
    names = program.graph_signature.user_inputs
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    shapes = [value.shape for value in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][2] != shapes[0][3]:
        raise BadInputError(
            f"{path.name} takes {[tuple(map(str, shape)) for shape in shapes]}: it must take one "
            "batch of square images (n, 3, S, S)."
        )
    rows, _, size, _ = (int(n) if type(n) is int else None for n in shapes[0])
    default = UINT8 if inputs[0].dtype == torch.uint8 else UNIT
    return ExternalModel(Network(model, preprocess or default), path.name, size=size, rows=rows)


def _refuse_pickles(data: bytes, name: str) -> None:
    """Raise LabelAuditError if a torch.export file contains parts that `torch.export.load` would
    unpickle, or compiled code that it would run."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            refused = _refused_part(archive)
    except Exception as error:  # not a zip, not JSON, or sample inputs that are not tensors
        raise DamagedError(
            f"{name} is not a torch.export file, or contains more than tensors: export the model "
            "again with torch.export.save."
        ) from error
    if refused:
        raise BadInputError(
            f"{name} contains {refused}, which would be unpickled or run: export the model again "
            "with torch.export.save, with plain tensors as its weights."
        )


def _refused_part(archive: zipfile.ZipFile) -> str | None:
    """Return a part of the archive that is not plain tensors, None if there is none."""
    for entry in archive.namelist():
        part = entry.partition("/")[2]
        if part.startswith(NOT_TENSORS):
            return part
        if part.startswith(("data/weights/", "data/constants/")):
            if part.endswith(".pt"):
                return part
            if part.endswith(".json"):
                config = json.loads(archive.read(entry))["config"]
                if any(value.get("use_pickle") for value in config.values()):
                    return part
        elif part.startswith("data/sample_inputs/") and archive.getinfo(entry).file_size:
            torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
    if not any("/models/" in entry for entry in archive.namelist()):
        return "an older format"
    return None


def open_named(
    name: str, classes: Sequence | None, weights, preprocess, device: str, count: int
) -> ExternalModel:
    """Open a network of timm or torchvision, with weights from a file or weights="pretrained".

    count: classes of the dataset.
    """
    library, _, network = name.partition(":")
    if weights is None:
        raise BadInputError(
            f"{name} needs weights: give weights=, a .safetensors file (or a .pt file of tensors), "
            "or weights='pretrained'."
        )
    pretrained = weights == "pretrained"
    if pretrained and classes is None:
        raise BadInputError(
            f"the pretrained {name} has its own classes: name all of them in its order "
            f"({HOW_TO_NAME_CLASSES}), "
            "with the names of this dataset."
        )
    width = len(classes) if classes is not None else count
    build = _from_timm if library == "timm" else _from_torchvision
    try:
        model, size, mean, std = build(network, width, pretrained)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        why = str(error).strip().strip("'\"").splitlines()[0][:200]
        raise BadInputError(f"{name} could not be created: {why}.") from error
    if not pretrained:
        _load_weights(model, Path(weights).expanduser(), name, width)
    model.eval()

    def normalised(images: torch.Tensor) -> torch.Tensor:
        centre, scale = (images.new_tensor(v, dtype=torch.float32) * 255 for v in (mean, std))
        return (images.float() - centre[:, None, None]) / scale[:, None, None]

    run = Network(model, preprocess or normalised, choose_device(device))
    return ExternalModel(run, name, size=size)


def _from_timm(name: str, width: int, pretrained: bool):
    """Return the network, the side of its input, and mean and deviation of the normalisation."""
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
    """Return the same as `_from_timm`."""
    from torchvision.models import get_model

    own = {"weights": "DEFAULT"} if pretrained else {"weights": None, "num_classes": width}
    mean, std = (np.array(v) / 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
    return get_model(name, **own), SIZE, mean.tolist(), std.tolist()


def _load_weights(model: nn.Module, path: Path, name: str, width: int) -> None:
    """Load weights from a file; pickles of anything but tensors are refused."""
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            parts = (state[key] for key in STATE_KEYS if isinstance(state.get(key), dict))
            state = next(parts, state)
    except Exception as error:  # both raise many types for other formats
        raise DamagedError(
            f"{path} cannot be read as weights: give a .safetensors file, or a .pt file that "
            "contains only tensors."
        ) from error
    state = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].strip()[:200]
        raise BadInputError(
            f"the weights of {path.name} do not fit {name} with {counted(width, 'class')}: {why}"
        ) from error
