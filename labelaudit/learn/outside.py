"""Models that were not trained here, each as one function of a batch of images."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import LabelAuditError
from ..predictions.numbers import PROBABILITIES
from .compute import choose_device
from .models import IMAGENET_MEAN, IMAGENET_STD

SIZE = 224  # pixels a side that named networks get, where they say no other
UNIT, IMAGENET, UINT8 = PREPROCESS = ("unit", "imagenet", "uint8")
NAMED = ("timm", "torchvision")

Numbers = np.ndarray | torch.Tensor
# uint8 (n, 3, S, S) -> numbers (n, K), and embeddings (n, D) where the model shows them
Ask = Callable[[torch.Tensor], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Outside:
    """A model and what it says of itself."""

    ask: Ask
    what: str  # for errors, and for the run
    classes: Sequence | None = None
    size: int | None = None  # pixels a side that it wants
    rows: int | None = None  # that it takes at once, no more and no less
    kind: str | None = None


def open_model(
    model, classes: Sequence | None, weights, preprocess, device: str, count: int
) -> Outside:
    """See `predict_with`. count: classes of the dataset, for a network that is named."""
    if isinstance(preprocess, str) and preprocess not in PREPROCESS:
        raise LabelAuditError(
            f"preprocess={preprocess!r}: give a function, or one of {', '.join(PREPROCESS)}."
        )
    if isinstance(model, str) and model.partition(":")[0] in NAMED:
        return _named(model, classes, weights, preprocess, device, count)
    if weights is not None:
        raise LabelAuditError("weights= goes with a model that is named: timm:… or torchvision:….")
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        if not path.is_file():
            raise LabelAuditError(
                f"there is no file {path}: give the path of a TorchScript or torch.export (.pt2) "
                "file, or a name such as timm:resnet18 or torchvision:resnet18."
            )
        opened = _exported if path.suffix == ".pt2" else _scripted
        return opened(path, preprocess, device)
    if isinstance(model, nn.Module):
        where = None if device == "auto" else choose_device(device)
        return Outside(_Network(model, preprocess or UNIT, where), type(model).__name__)
    if hasattr(model, "predict_proba"):
        return _estimator(model, preprocess)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return Outside(partial(_of_pixels, model, preprocess), f"the function {name}")
    raise LabelAuditError(
        f"a model of type {type(model).__name__}: give a function, a torch module, an estimator "
        "with predict_proba, a path or a name."
    )


# --- functions and estimators: NumPy in, NumPy out ---


def _of_pixels(model: Callable, preprocess, images: torch.Tensor):
    return _numbers(model(_prepared(preprocess, UINT8, _pixels(images)))), None


def _estimator(model, preprocess) -> Outside:
    features = getattr(model, "n_features_in_", None)
    side = round((features / 3) ** 0.5) if features and preprocess is None else 0
    fits = side and 3 * side * side == features

    def ask(images: torch.Tensor):
        pixels = _prepared(preprocess, UINT8, _pixels(images))
        if preprocess is None:
            pixels = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
            if features not in (None, pixels.shape[1]):
                raise LabelAuditError(
                    f"the estimator learned {features:,} features, and an image has "
                    f"{pixels.shape[1]:,} (pixels x 3 colours): give preprocess=, which makes the "
                    "features of uint8 (n, S, S, 3)."
                )
        return _numbers(model.predict_proba(pixels)), None

    classes = getattr(model, "classes_", None)
    classes = None if classes is None else np.asarray(classes).tolist()
    size = side if fits else None
    return Outside(ask, type(model).__name__, classes, size, kind=PROBABILITIES)


def _pixels(images: torch.Tensor) -> np.ndarray:
    """uint8 (n, S, S, 3)."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def _prepared(preprocess, usual: str, pixels: np.ndarray) -> np.ndarray:
    if callable(preprocess):
        return preprocess(pixels)
    if (preprocess or usual) == UINT8:
        return pixels
    values = pixels.astype(np.float32)
    if preprocess == UNIT:
        return values / 255
    return (values - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)


def _numbers(answer) -> np.ndarray:
    """What a model answered, as an array (n, K)."""
    answer = getattr(answer, "logits", answer)  # transformers
    if isinstance(answer, dict):
        answer = answer.get("logits")
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().float().cpu().numpy()
    try:
        values = np.asarray(answer)
    except ValueError:  # lists of several lengths
        values = np.empty(0)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        shape = f"an array of {values.dtype} {values.shape}" if values.ndim else type(answer)
        raise LabelAuditError(
            f"the model answered with {shape}: it must give logits or probabilities (n, C), a row "
            "for each image and a column for each class."
        )
    return values


# --- torch ---


class _Network:
    """Asks a torch module, in evaluation mode; what its last linear layer got are embeddings."""

    def __init__(self, model: nn.Module, preprocess, device: torch.device | None = None) -> None:
        self.model, self.preprocess = model, preprocess
        # an exported program has one mode, and none can be set
        exported = isinstance(model, torch.fx.GraphModule)
        self.training = model.training and not exported
        if device is not None:
            model.to(device)
        held = next(iter(model.parameters()), None)
        self.device = device or (torch.device("cpu") if held is None else held.device)
        self.linear = [part for part in model.modules() if type(part) is nn.Linear][-1:]

    def __call__(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        got: list[torch.Tensor] = []
        hooks = [
            part.register_forward_pre_hook(lambda _, given: got.append(given[0].detach()))
            for part in self.linear
        ]
        if self.training:
            self.model.eval()
        try:
            with torch.inference_mode():
                values = _numbers(self.model(self._input(images.to(self.device))))
        except LabelAuditError:
            raise
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise LabelAuditError(
                f"the model could not take images {tuple(images.shape)}: "
                f"{str(error).strip().splitlines()[0][:200]}; mind image_size= and preprocess=."
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
            if self.training:  # it is somebody's who may go on training it
                self.model.train()
        return values, self._embeddings(got, values.shape)

    def _embeddings(self, got: list[torch.Tensor], shape: tuple) -> np.ndarray | None:
        """None where the last linear layer is not what makes the answer."""
        fits = len(got) == 1 and got[0].ndim == 2 and len(got[0]) == shape[0]
        if not fits or self.linear[0].out_features != shape[1]:
            return None
        return got[0].float().cpu().numpy()

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        if callable(self.preprocess):
            return self.preprocess(images)
        if self.preprocess == UINT8:
            return images
        if self.preprocess == UNIT:
            return images.float() / 255
        mean, std = (images.new_tensor(v, dtype=torch.float32) for v in
                     (IMAGENET_MEAN, IMAGENET_STD))  # fmt: skip
        return (images.float() - mean[:, None, None]) / std[:, None, None]


def _scripted(path: Path, preprocess, device: str) -> Outside:
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
    return Outside(_Network(model, preprocess or UNIT, where), path.name)


def _exported(path: Path, preprocess, device: str) -> Outside:
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
    return Outside(_Network(model, preprocess or usual), path.name, size=size, rows=rows)


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


def _named(
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

    ask = _Network(model, preprocess or normalised, choose_device(device))
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
