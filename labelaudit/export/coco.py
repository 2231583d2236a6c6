"""COCO annotations of whole images: one category per image."""

from __future__ import annotations

import json

import numpy as np

from ..core.plural import counted
from ..dataset.arrays import MISSING
from .file_names import distinct_names
from .outputs import Output
from .provenance import KEY
from .samples import Samples

FOLDER = "images"
FILE = "instances"  # `instances.json`, or `instances_train.json` for a split


def write_coco(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write images/ and a JSON file, or one for each split if all samples have one.

    `file_name` is relative to images/. Each labelled image has one annotation, whose box is the
    whole image. Ids of images and annotations are those of the samples.
    """
    paths = samples.flat_image_paths(FOLDER)
    for i, image in samples.images():
        output.add_image(paths[i], image)
    rows = samples.frame.take("samples", samples.positions, ["width", "height"])
    sizes = list(zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True))
    splits = samples.splits.tolist()
    names = splits if None not in splits else [None] * len(splits)
    files = distinct_names(f"{FILE}_{split}" for split in set(names) if split is not None)
    for split in dict.fromkeys(names):
        at = [i for i, name in enumerate(names) if name == split]
        name = FILE if split is None else files[f"{FILE}_{split}"]
        output.write(f"{name}.json", json.dumps(_content(samples, paths, sizes, at)).encode())
    unlabelled = int((samples.labels == MISSING).sum())
    without = f"{counted(unlabelled, 'sample')} without a label, and so without an annotation."
    return [without] if unlabelled else []


def _content(
    samples: Samples,
    paths: np.ndarray,
    sizes: list[tuple[int | None, int | None]],
    at: list[int],
) -> dict:
    images, annotations = [], []
    for i in at:
        width, height = sizes[i]
        known = width is not None and height is not None
        number, label = int(samples.ids[i]), int(samples.labels[i])
        image = {"id": number, "file_name": paths[i].removeprefix(f"{FOLDER}/")}
        image |= {"width": width, "height": height} if known else {}
        split = samples.splits[i]
        images.append(image if split is None else {**image, "split": split})
        if label != MISSING:
            box = {"bbox": [0, 0, width, height], "area": width * height} if known else {}
            annotations.append(
                {"id": number, "image_id": number, "category_id": label + 1, "iscrowd": 0, **box}
            )
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(samples.classes)]
    info = {"description": f"Labels of {samples.frame.name}", KEY: samples.provenance(len(at))}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}
