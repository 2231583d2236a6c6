"""Feature extractors: what an image looks like, as numbers.

To add one, write a file with a function that opens it and add one entry to `EXTRACTORS`. A package
outside LabelAudit registers an `ExtractorKind` in the entry point group `labelaudit.features`
instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import NotFoundError
from ..core.plugins import Group, Plugin
from ..dataset.columns import Frame

if TYPE_CHECKING:
    import torch

AUTO = "auto"  # the features with which labels are predicted best
JOIN = "+"  # between the names of features that are used together
EXAMPLES = 2_000  # images that an extractor is fitted on, at most
LARGE_EXAMPLES = 500  # the same for photographs, which take long to decode
REQUIRED = ("name", "version", "size", "width")  # of an extractor


class Extractor:
    """Turns images into features.

    name: under which the features are stored. version: identifies weights and preprocessing;
    features of another version are extracted again. size: side in pixels of the images that `of`
    takes. side: usual longer side of the dataset's images in pixels, for which it was opened.
    width: numbers per image. least_deviation: features are scaled to equal deviation, but at
    most as if theirs was this share of the mean deviation. state: what was fitted to the dataset's
    images, as bytes; None for a pretrained extractor.
    """

    name: str
    version: str
    size: int
    side: int
    width: int
    least_deviation = 0.05
    state: bytes | None = None

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features, float32 (n, width), of images, uint8 (n, 3, size, size)."""
        raise NotImplementedError


class Examples:
    """Some images of the dataset, for extractors that depend on them.

    ids: samples to choose from, int64. state: of an earlier extractor of the same name, or None.
    """

    def __init__(self, frame: Frame, ids: np.ndarray, state: bytes | None = None) -> None:
        self.frame, self.ids, self.state = frame, ids, state

    @cached_property
    def side(self) -> int:
        """Pixels of the longer side of most images."""
        from .image_size import usual_size

        return usual_size(self.frame, self.ids)

    def images(self, size: int, most: int = EXAMPLES) -> torch.Tensor:
        """Return up to `most` images, uint8 (n, 3, size, size), drawn with a fixed seed.

        Of photographs, up to LARGE_EXAMPLES. Raises LabelAuditError if none of them can be read.
        """
        from .image_batches import Images
        from .image_size import SMALL_SIDE

        most = most if self.side <= SMALL_SIDE else min(most, LARGE_EXAMPLES)
        some = np.sort(np.random.default_rng(1).permutation(self.ids)[:most])
        images = Images(self.frame, some, size)
        _, pixels = next(images.batches(np.arange(len(some)), len(some)), (None, None))
        if pixels is None:
            raise images.nothing_readable()
        return pixels


@dataclass(frozen=True)
class ExtractorKind:
    """An entry of the registry.

    meaning: one sentence for people who choose. open: a function of the name after the colon ("" if
    there is none) and the dataset's Examples that returns an Extractor, or "module:function" below
    `labelaudit.features`. takes_name: whether it is chosen as "kind:NAME".
    """

    title: str
    meaning: str
    open: Callable[[str, Examples], Extractor] | str
    takes_name: bool = False


EXTRACTORS: dict[str, ExtractorKind] = {
    "pixels": ExtractorKind(
        "Pixels",
        "Grey values of small images. They are enough for digits and icons.",
        "pixels:open_pixels",
    ),
    "patches": ExtractorKind(
        "Patches",
        "Edges and textures of small colour images, learned from the dataset itself.",
        "patches:open_patches",
    ),
    "lite0": ExtractorKind(
        "EfficientNet-Lite0",
        "A small network pretrained on ImageNet. It is installed with LabelAudit.",
        "lite0:open_lite0",
    ),
    "timm": ExtractorKind(
        "timm network",
        "Any network of timm, such as timm:vit_small_patch14_dinov2.lvd142m. Larger networks see "
        "more and take longer. The weights are downloaded on first use.",
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


def all_extractors() -> Mapping[str, ExtractorKind]:
    """Return the registry with the extractors of installed plugins.

    A plugin that cannot be used is left out with a warning.
    """
    return EXTRACTORS | GROUP.values()


def _adapt(plugin: Plugin, kind: ExtractorKind) -> ExtractorKind:
    if plugin.name in EXTRACTORS:
        raise ValueError("LabelAudit has an extractor of this name")
    if not plugin.name.isidentifier():
        raise ValueError("its name must consist of letters, digits and _")

    def opened(extractor: Extractor, *_) -> Extractor:
        if not isinstance(extractor, Extractor):
            raise ValueError(f"open returned {type(extractor).__name__}, not an Extractor")
        missing = [name for name in REQUIRED if not hasattr(extractor, name)]
        if missing:
            raise ValueError(f"its extractor has no {', '.join(missing)}")
        width = extractor.width
        extractor.of = plugin.guard(  # type: ignore[method-assign]
            extractor.of, lambda found, images: _check_features(found, len(images), width)
        )
        return extractor

    return replace(kind, open=plugin.guard(kind.open, opened))


def _check_features(found: np.ndarray, images: int, width: int) -> np.ndarray:
    found = np.asarray(found, np.float32)
    if found.shape != (images, width):
        raise ValueError(
            f"of returned features of shape {found.shape} for {images} images of {width} numbers"
        )
    if not np.isfinite(found).all():
        raise ValueError("of returned features that are not finite")
    return found


GROUP = Group("labelaudit.features", (ExtractorKind,), _adapt)


def extractor_names() -> list[str]:
    """Return the names of all extractors; "timm:NAME" for one that takes a name."""
    return [f"{n}:NAME" if kind.takes_name else n for n, kind in all_extractors().items()]


def check_extractor(name: str) -> ExtractorKind:
    """Return the registry's entry for an extractor's name, such as "lite0" or "timm:NAME".

    Raises NotFoundError if there is none.
    """
    kind, _, argument = name.partition(":")
    found = all_extractors().get(kind)
    if found is None:
        names = ", ".join(extractor_names())
        raise NotFoundError(f"there is no feature extractor {kind!r}: the extractors are {names}.")
    if found.takes_name and not argument:
        raise NotFoundError(
            f"extractor {name!r} is not complete: write {kind}:NAME, with the name of a network."
        )
    if argument and not found.takes_name:
        raise NotFoundError(f"extractor {name!r} does not exist: {kind} takes no name after it.")
    return found


def open_extractor(name: str, examples: Examples) -> Extractor:
    """Open an extractor: "lite0", "timm:NAME", "torchvision:NAME" or that of a plugin.

    Raises NotFoundError if there is none, and LabelAuditError if its weights cannot be loaded.
    """
    kind = check_extractor(name)
    argument = name.partition(":")[2]
    if callable(kind.open):
        extractor = kind.open(argument, examples)
    else:
        module, _, function = kind.open.partition(":")
        open_kind = getattr(import_module(f".{module}", __package__), function)
        extractor = open_kind(argument, examples)
    extractor.side = examples.side
    return extractor
