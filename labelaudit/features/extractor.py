"""The base of all feature extractors, and how one is opened by its name.

A feature extractor turns images into numbers that say what they look like. To add one, write a
file with a subclass of `Extractor` and add one line to `EXTRACTORS`; a package outside LabelAudit
registers a function in the entry point group `labelaudit.extractors` instead. The function takes
the part of the name after the colon ("" if there is none) and the usual side of the dataset's
images in pixels, and returns an `Extractor`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import LabelAuditError

if TYPE_CHECKING:
    import torch

GROUP = "labelaudit.extractors"


class Extractor:
    """Turns images into features.

    name: under which the features are stored. version: identifies weights and preprocessing;
    features of another version are extracted again. size: side in pixels of the images that `of`
    takes. width: numbers per image.
    """

    name: str
    version: str
    size: int
    width: int

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features, float32 (n, width), of images, uint8 (n, 3, size, size)."""
        raise NotImplementedError


@dataclass(frozen=True)
class ExtractorKind:
    """An entry of the registry. meaning: one sentence for people who choose. open: "module:name"
    below `labelaudit.features`, a function of (argument, usual side of the images in pixels)."""

    title: str
    meaning: str
    open: str
    takes_name: bool = False  # chosen as "kind:NAME"


EXTRACTORS: dict[str, ExtractorKind] = {
    "lite0": ExtractorKind(
        "EfficientNet-Lite0",
        "A small network pretrained on ImageNet. It is installed with LabelAudit.",
        "lite0:open_lite0",
    ),
    "timm": ExtractorKind(
        "timm network",
        "Any network of timm, such as timm:vit_small_patch14_dinov2.lvd142m. Larger networks see "
        "more and take longer; the weights are downloaded on first use.",
        "timm_networks:open_timm",
        takes_name=True,
    ),
    "torchvision": ExtractorKind(
        "torchvision network",
        "Any classification network of torchvision, such as torchvision:resnet50. The weights are "
        "downloaded on first use.",
        "torchvision_networks:open_torchvision",
        takes_name=True,
    ),
}


def open_extractor(name: str, side: int) -> Extractor:
    """Open the extractor of this name ("lite0", "timm:NAME", "torchvision:NAME" or that of an
    installed plugin) for images whose usual longer side has `side` pixels.

    Raises LabelAuditError if there is no such extractor or its weights cannot be loaded.
    """
    kind, _, argument = name.partition(":")
    found = EXTRACTORS.get(kind)
    if found is None:
        return _plugin(kind)(argument, side)
    if found.takes_name != bool(argument):
        raise LabelAuditError(
            f"extractor {name!r} is not complete: write {kind}:NAME, with the name of a network."
            if found.takes_name
            else f"extractor {name!r} does not exist: {kind} takes no name after it."
        )
    module, _, function = found.open.partition(":")
    return getattr(import_module(f".{module}", __package__), function)(argument, side)


def _plugin(kind: str) -> Callable[[str, int], Extractor]:
    for entry in entry_points(group=GROUP):
        if entry.name == kind:
            return entry.load()
    known = [f"{name}:NAME" if e.takes_name else name for name, e in EXTRACTORS.items()]
    known += [entry.name for entry in entry_points(group=GROUP)]
    raise LabelAuditError(
        f"there is no feature extractor {kind!r}: the extractors are {', '.join(known)}."
    )
