"""All hyperparameters, with the reason for each value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

from ..core.errors import BadInputError

FIRST_LOOK_RUN = "first-look"  # default name of a run without training
SMALL = "small"
SMALL_SIZES = (16, 64)  # smallest and largest image side in pixels for the small net
# torchvision networks whose last layer can be resized by `num_classes`
BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
)
MODELS = (SMALL, *BACKBONES)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The defaults find mistakes well in small photographs in a minute.

    Raises LabelAuditError for a value outside its bounds.
    """

    # The network. "small" is made for images up to 64 pixels, a backbone for larger ones.
    model: str = SMALL
    # Backbones start from ImageNet weights if these are available: far fewer epochs are needed.
    pretrained: bool = True
    # Side in pixels to which images are resized. None: their own size, within 16 to 64 (small) or
    # 32 to 224.
    image_size: int | None = None

    # Long enough to learn the classes, short enough not to memorise the mistakes.
    epochs: int = 12
    # Small batches give more steps per epoch and fit the processor's cache.
    batch_size: int = 125
    # Peak of a one-cycle schedule, which rises for a fifth of the steps and then falls to zero.
    # None: 0.1 for the small net, 0.01 for a backbone with pretrained weights.
    learning_rate: float | None = None
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-3  # strong: it keeps the net from memorising mistakes
    # A running average of the weights is evaluated and saved: its margins are steadier than those
    # of the last step (average precision of AUM after 4 epochs 0.83, without averaging 0.77).
    average: float = 0.97

    # Augmentation keeps the net from memorising mistakes. shift: largest move, as a share of the
    # side. mirror: left to right; None mirrors colour images only (a mirrored 2 is not a 2).
    shift: float = 1 / 16
    mirror: bool | None = None

    # After this share of the epochs, samples that the net contradicts (their margin, averaged over
    # the last epochs, is below the bound) are no longer trained on, so that the net cannot memorise
    # mistakes. They are still evaluated. On 10,000 CIFAR-10 images with 20 % mistakes this saves a
    # tenth of the time: average precision of self-confidence 0.895 in 87 CPU-s, without it 0.899 in
    # 97. With less weight decay it helps (0.001: 0.883 against 0.858, with another held-out split).
    leave_out_after: float = 0.5
    leave_out_below: float = -1.0
    # At most this share of a class is left out: a class that is only hard must still be learned.
    leave_out_share: float = 0.5

    # 1: one model learns all samples, and its predictions are in-sample. K > 1: K models, each
    # trained on all but one K-th, so that each sample is also predicted by a model that never saw
    # its label; this costs K - 1 times as much. On 10,000 CIFAR-10 images one model of all samples
    # finds more mistakes than two models of half the samples each (average precision of
    # self-confidence 0.906 against 0.870 with 20 % uniform mistakes, 0.626 against 0.544 with human
    # mistakes): half the images teach much less.
    folds: int = 1

    # Share of the samples held out for validation if the dataset has no test split.
    hold_out: float = 0.1
    seed: int = 0

    # "auto": a GPU if there is one. threads None: measured during training, because two threads
    # beside another busy process can be ten times slower than one.
    device: str = "auto"
    threads: int | None = None
    # Decoded images stay in memory up to this size, and streamed from disk beyond it.
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise BadInputError(f"{self.model!r} is not a model: choose {', '.join(MODELS)}.")
        for name, kind, low, high in _BOUNDS:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            whole = "a whole number " if kind is Integral else ""
            fits = isinstance(value, kind) and not isinstance(value, bool)
            if not fits or not low <= value <= high:  # NaN fails too
                raise BadInputError(
                    f"{name}={value!r}: it must be {whole}between {low:g} and {high:g}."
                )
        low, high = SMALL_SIZES
        if self.model == SMALL and self.image_size and not low <= self.image_size <= high:
            raise BadInputError(
                f"image_size={self.image_size}: the small model takes {low} to {high} pixels; "
                f"choose another model ({', '.join(BACKBONES)}) for larger images."
            )

    def to_dict(self) -> dict:
        """Return all settings as plain values, as they are stored with a run."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """Return the settings of a stored run or a form; unknown names are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


_OPTIONAL = ("image_size", "learning_rate", "threads")  # None: determined when it is needed
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
