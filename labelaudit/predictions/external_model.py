"""A model from elsewhere as one function of a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..core.errors import LabelAuditError
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD

UNIT, IMAGENET, UINT8 = PREPROCESS = ("unit", "imagenet", "uint8")

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


def to_numbers(answer) -> np.ndarray:
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


class Network:
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
                values = to_numbers(self.model(self._input(images.to(self.device))))
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
