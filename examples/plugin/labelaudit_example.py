"""A score, a source, an export format and a feature extractor in a package of its own.

`pip install examples/plugin` installs it; `labelaudit plugins` then lists the four objects.
pyproject.toml registers them, and their name there is their name in LabelAudit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from labelaudit.export import Format, Output, Samples
from labelaudit.features.extractors import Examples, Extractor, ExtractorKind
from labelaudit.scores import LogitScore
from labelaudit.scores.softmax import Softmax
from labelaudit.sources import FolderFormat, Source
from labelaudit.sources.files import Files

LABELS_TXT = "labels.txt"  # one line per image: its path, a tab, its class

# --- a score ---


def loss(labels: np.ndarray, softmax: Softmax) -> np.ndarray:
    """Return the cross-entropy loss of each sample in nats, float64 (n,). labels: int (n,)."""
    rows = np.arange(len(labels))
    return np.log(softmax.total) - softmax.shifted[rows, labels]


LOSS = LogitScore("loss", "Loss", "The model's loss on the given label is high.", loss)

# --- a source ---


def has_labels_txt(files: Files) -> bool:
    """Whether a folder or zip has the list at its top."""
    return LABELS_TXT in files.names


def open_labels_txt(files: Files, label: str | None) -> Source:
    """Open a folder with `labels.txt`. label: the user's name of a column; this format has none."""
    with files.open(LABELS_TXT) as file:
        pairs = [line.split("\t") for line in file.read().decode("utf-8").splitlines()]
    classes = sorted({name for _, name in pairs})

    def rows() -> Iterator[dict]:
        for path, name in pairs:
            if files.exists(path):
                yield {"filepath": files.filepath(path), "label": name}
            else:
                source.skipped.add(path, "there is no such file")

    source = Source.of_files(files, str(files.path), classes, len(pairs), rows)
    return source


LABELS_TXT_SOURCE = FolderFormat(
    "labels.txt",
    "a folder with `labels.txt`: one line per image, its path and its class, with a tab between",
    has_labels_txt,
    open_labels_txt,
)

# --- an export format ---


def write_labels_txt(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write the images into `images/`, and `labels.txt`. Returns notes for the user."""
    paths = samples.image_paths(np.full(len(samples), "images", object))
    labelled = np.flatnonzero(samples.labels >= 0)
    for row, image in samples.images(labelled):
        output.add_image(paths[row], image)
    lines = [f"{paths[row]}\t{samples.classes[samples.labels[row]]}\n" for row in labelled]
    output.write(LABELS_TXT, "".join(lines).encode("utf-8"))
    left_out = len(samples) - len(labelled)
    return [f"Left out, without a label: {left_out:,}."] if left_out else []


LABELS_TXT_EXPORT = Format(
    "labels.txt", "The images, and one text file with a line per image.", write_labels_txt
)

# --- a feature extractor ---


class Colours(Extractor):
    """A histogram of each colour channel, float32 (n, 24): which colours an image has."""

    name = "colours"
    version = "1"  # change it when `of` changes, because stored features are used again
    size = 32
    width = 24

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features of images, uint8 (n, 3, 32, 32)."""
        bins = (images.flatten(2) // 32).long()
        counts = torch.zeros(len(images), 3, 8).scatter_add_(2, bins, torch.ones(bins.shape))
        return (counts.flatten(1) / bins.shape[2]).numpy()


def open_colours(name: str, examples: Examples) -> Colours:
    """Open the extractor. name: what follows a colon, "" here. examples: images to fit it on."""
    return Colours()


COLOURS = ExtractorKind(
    "Colours", "Which colours an image has, wherever they are in it.", open_colours
)
