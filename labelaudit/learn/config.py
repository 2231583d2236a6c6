"""Every hyperparameter, in one place, with the reason."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

from ..core.errors import LabelAuditError

FIRST_LOOK_RUN = "first-look"  # what a run without training is called
SMALL = "small"
SMALL_SIZES = (16, 64)  # pixels a side that the small net can work with, and is fast with
# torchvision networks whose last layer can be resized by `num_classes`
BACKBONES = ("resnet18", "resnet34", "resnet50", "mobilenet_v3_small", "efficientnet_b0",
             "convnext_tiny")  # fmt: skip
MODELS = (SMALL, *BACKBONES)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The defaults find mistakes well on small photographs in a minute.

    A value out of its bounds raises LabelAuditError when the configuration is made.
    """

    # What learns. "small" is made for images up to 64 pixels; a backbone for larger ones.
    model: str = SMALL
    # Backbones start from ImageNet weights where they can be had: far fewer epochs are needed.
    pretrained: bool = True
    # Pixels a side that images are brought to. None: as they are, within 16 … 64 (small) or 224.
    image_size: int | None = None

    # Long enough to learn the classes, short enough not to learn the mistakes by heart.
    epochs: int = 12
    # Small batches take more steps an epoch, and fit the processor's cache.
    batch_size: int = 125
    # Peak of a one-cycle schedule: a fifth of the steps up, then down to nothing. None: 0.1 for
    # the small net; 0.01 for a backbone, whose weights are good already.
    learning_rate: float | None = None
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-3  # strong: it keeps mistakes from being learned by heart
    # What is watched and kept is a running average of the weights: its margins are steadier than
    # those of the last step (average precision of AUM after 4 epochs 0.83, without it 0.77).
    average: float = 0.97

    # Augmentation keeps the net from learning mistakes by heart. Shift by up to this share of the
    # side, and mirror left to right. None: mirror colour images only (a mirrored 2 is no 2).
    shift: float = 1 / 16
    mirror: bool | None = None

    # After this share of the epochs, samples that the net contradicts (margin, averaged over the
    # last epochs, below the bound) are left out of learning, so that it cannot learn mistakes by
    # heart. They are still watched. On 10,000 CIFAR-10 images with 20 % mistakes it saves a tenth
    # of the time: average precision of self-confidence 0.895 in 87 CPU-s, without it 0.899 in 97.
    # Where weights decay less it gains (0.001: 0.883 against 0.858, with others held out).
    leave_out_after: float = 0.5
    leave_out_below: float = -1.0
    # … but never more than this share of a class: one that is merely hard must be learned on.
    leave_out_share: float = 0.5

    # 1: one model learns all, and its word on a sample is in-sample. K > 1: K models, each of all
    # but one K-th, so that each sample is also judged by a model that never saw its label; costs
    # K - 1 times as much. On 10,000 CIFAR-10 images one model of all finds more mistakes than two
    # of a half each (average precision of self-confidence 0.906 against 0.870 with 20 % uniform
    # mistakes, 0.626 against 0.544 with those of people): half the images teach much less.
    folds: int = 1

    # Share of the samples held out for validation where the dataset has no test split.
    hold_out: float = 0.1
    seed: int = 0

    # "auto": a GPU where there is one. threads None: measured as training goes, since two threads
    # beside another busy process can be ten times slower than one.
    device: str = "auto"
    threads: int | None = None
    # Decoded images are held in memory up to this size, and streamed from disk beyond it.
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise LabelAuditError(f"{self.model!r} is no model: choose {', '.join(MODELS)}.")
        for name, kind, low, high in _BOUNDS:
            value = getattr(self, name)
            if value is None and name in _OPEN:
                continue
            whole = "a whole number " if kind is Integral else ""
            fits = isinstance(value, kind) and not isinstance(value, bool)
            if not fits or not low <= value <= high:  # NaN fails too
                raise LabelAuditError(
                    f"{name}={value!r}: it must be {whole}between {low:g} and {high:g}."
                )
        low, high = SMALL_SIZES
        if self.model == SMALL and self.image_size and not low <= self.image_size <= high:
            raise LabelAuditError(
                f"image_size={self.image_size}: the small model takes {low} to {high} pixels; "
                f"choose another model ({', '.join(BACKBONES)}) for larger images."
            )

    def to_dict(self) -> dict:
        """All settings as plain values, as a run keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """Of a stored run, or of a form; what this version does not know is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


_OPEN = ("image_size", "learning_rate", "threads")  # None: found out when it is needed
_BOUNDS = [
    ("image_size", Integral, 8, 1024),
    ("epochs", Integral, 1, 10_000),
    ("batch_size", Integral, 2, 65_536),  # batch normalisation needs two
    ("learning_rate", Real, 1e-8, 100),
    ("warmup", Real, 0, 1),
    ("momentum", Real, 0, 1),
    ("weight_decay", Real, 0, 1),
    ("average", Real, 0, 1),
    ("shift", Real, 0, 0.5),
    ("leave_out_after", Real, 0, 1),
    ("leave_out_below", Real, -math.inf, 0),
    ("leave_out_share", Real, 0, 1),
    ("folds", Integral, 1, 20),
    ("hold_out", Real, 0.01, 0.9),
    ("threads", Integral, 1, 4096),
    ("seed", Integral, 0, 2**63 - 1),
    ("memory_gb", Real, 0, math.inf),
]
