"""An external model as a function of a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..core.errors import BadInputError, LabelAuditError
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD

UNIT, IMAGENET, UINT8 = PREPROCESS = ("unit", "imagenet", "uint8")

# uint8 (n, 3, S, S) -> numbers (n, K), and embeddings (n, D) if the model exposes them
Predict = Callable[[torch.Tensor], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class ExternalModel:
    """A model that was opened, with what it specifies about its inputs and outputs."""

    predict: Predict
    what: str  # name for errors and for the run
    classes: Sequence | None = None
    size: int | None = None  # side of its input in pixels
    rows: int | None = None  # fixed batch size
    kind: str | None = None


def to_numbers(output) -> np.ndarray:
    """Return the output of a model as an array (n, K).

    Raises LabelAuditError if it is not a matrix of numbers.
    """
    output = getattr(output, "logits", output)  # transformers
    if isinstance(output, dict):
        output = output.get("logits")
    if isinstance(output, torch.Tensor):
        output = output.detach().float().cpu().numpy()
    try:
        values = np.asarray(output)
    except ValueError:  # lists of different lengths
        values = np.empty(0)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        shape = f"an array of {values.dtype} {values.shape}" if values.ndim else type(output)
        raise BadInputError(
            f"the model returned {shape}: it must return logits or probabilities (n, C), a row "
            "for each image and a column for each class."
        )
    return values


class Network:
    """Runs a torch module in evaluation mode.

    The inputs of its last linear layer are its embeddings.
    """

    def __init__(self, model: nn.Module, preprocess, device: torch.device | None = None) -> None:
        self.model, self.preprocess = model, preprocess
        # an exported program has a single mode, which cannot be set
        exported = isinstance(model, torch.fx.GraphModule)
        self.training = model.training and not exported
        if device is not None:
            model.to(device)
        weight = next(iter(model.parameters()), None)
        self.device = device or (torch.device("cpu") if weight is None else weight.device)
        self.linear = [part for part in model.modules() if type(part) is nn.Linear][-1:]

    def __call__(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        inputs: list[torch.Tensor] = []
        hooks = [
            part.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
            for part in self.linear
        ]
        if self.training:
            self.model.eval()
        try:
            with torch.inference_mode():
                values = to_numbers(self.model(self._input(images.to(self.device))))
        except LabelAuditError:
            raise
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise BadInputError(
                f"the model could not take images {tuple(images.shape)}: "
                f"{str(error).strip().splitlines()[0][:200]}; check image_size= and preprocess=."
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
            if self.training:  # the user may continue to train it
                self.model.train()
        return values, self._embeddings(inputs, values.shape)

    def _embeddings(self, inputs: list[torch.Tensor], shape: tuple) -> np.ndarray | None:
        """Return None if the last linear layer does not compute the output."""
        fits = len(inputs) == 1 and inputs[0].ndim == 2 and len(inputs[0]) == shape[0]
        if not fits or self.linear[0].out_features != shape[1]:
            return None
        return inputs[0].float().cpu().numpy()

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        if callable(self.preprocess):
            return self.preprocess(images)
        if self.preprocess == UINT8:
            return images
        if self.preprocess == UNIT:
            return images.float() / 255
        mean, std = (
            images.new_tensor(v, dtype=torch.float32) for v in (IMAGENET_MEAN, IMAGENET_STD)
        )
        return (images.float() - mean[:, None, None]) / std[:, None, None]
