"""The images of `detection.py`, and the wrong labels that they get."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RATE = 0.2
PER_CLASS = 100  # photographs of each class in "clothing-1000"
EASY, EASY_CLASSES, EASY_SIDE, EASY_NOISE = 400, 10, 12, 20.0


def find_data() -> Path:
    """Return the folder that holds the benchmark data, in `shared` beside the repository."""
    for folder in ROOT.parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    raise SystemExit("there is no folder shared/data beside the repository: give it with --data.")


def load_images(images: str, seed: int, data: Path, home: Path):
    """Return a dataset with the labels that count as true, and these labels as class indices.

    images: "digits", "easy", "clothing", "clothing-1000" or "cifar-N". A dataset that `home` has is
    used again.
    """
    import labelaudit

    name = f"{images}-{seed}" if images == "easy" else images
    truth_path = home / f"{name}-truth.npy"
    if truth_path.exists():
        return labelaudit.load_dataset(name), np.load(truth_path)
    if images == "digits":
        dataset = labelaudit.load_dataset("digits")
    elif images == "easy":
        dataset = easy_images(name, seed)
    elif images.startswith("clothing"):
        archive = data / "clothing" / "photos.zip"
        if images != "clothing":
            archive = first_photographs(archive, home / "photos.zip")
        dataset = labelaudit.load_dataset(name, archive)
    else:
        dataset = cifar_images(name, int(images.split("-")[1]), data, home)
    truth = dataset.view().frame.label.copy()
    np.save(truth_path, truth)
    return dataset, truth


def easy_images(name: str, seed: int):
    """400 images of 12 x 12 pixels: one random picture per class, with noise."""
    import labelaudit

    rng = np.random.default_rng(seed)
    y = rng.integers(0, EASY_CLASSES, EASY)
    pictures = rng.integers(0, 256, (EASY_CLASSES, EASY_SIDE, EASY_SIDE))[y]
    noisy = pictures + EASY_NOISE * rng.standard_normal(pictures.shape)
    names = [f"class {code}" for code in range(EASY_CLASSES)]
    return labelaudit.load_arrays(name, noisy.clip(0, 255).astype(np.uint8), y, classes=names)


def first_photographs(archive: Path, target: Path) -> Path:
    """Copy the first photographs of each class, in sorted order, to a smaller archive."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as small:
        names = pd.Series(sorted(name for name in source.namelist() if name.endswith(".jpg")))
        classes = names.str.split("/").str[-2]
        for name in names.groupby(classes).head(PER_CLASS):
            small.writestr(name, source.read(name))
    return target


def cifar_images(name: str, count: int, data: Path, home: Path):
    """The first images in the published order, which mixes the classes, with published labels."""
    import labelaudit

    folder = home / f"{name}-images"
    rows = pd.read_csv(data / "cifar10" / "train.csv", nrows=count)
    with zipfile.ZipFile(data / "cifar10" / "train.zip") as archive:
        archive.extractall(folder, rows["filepath"])
    rows[["filepath", "label"]].to_csv(folder / "labels.csv", index=False)
    return labelaudit.load_dataset(name, folder / "labels.csv")


def wrong_labels(noise: str, truth: np.ndarray, dataset, seed: int, data: Path) -> np.ndarray:
    """Return the given labels, int (n,), some of them wrong.

    noise: "uniform" or "pair" (RATE of all labels; "pair": each class becomes the next one), "3-8"
    (a third of the digits 3 and 8 are swapped), or the column of human labels in train.csv.
    """
    from labelaudit.dataset.noise import corrupt

    given, classes = truth.copy(), len(dataset.classes)
    if noise.startswith("human"):
        rows = pd.read_csv(data / "cifar10" / "train.csv").set_index("filepath")[noise]
        paths = dataset.view().to_pandas()["filepath"]
        names = [rows["/".join(Path(path).parts[-3:])] for path in paths]
        return np.array([dataset.classes.index(name) for name in names])
    if noise == "3-8":
        pair = dataset.classes.index("3"), dataset.classes.index("8")
        at, codes = corrupt(truth, classes, 1 / 3, "pair", seed, pair)
    else:
        at, codes = corrupt(truth, classes, RATE, noise, seed)
    given[at] = codes
    return given
