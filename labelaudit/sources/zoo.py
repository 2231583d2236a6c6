"""Well-known datasets: digits comes with scikit-learn, torchvision downloads the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import numpy as np

from ..core.errors import BadInputError, StorageError
from ..core.progress import Task
from ..storage.locks import exclusive
from ..storage.paths import local_home
from .arrays import open_arrays
from .source import Source

log = logging.getLogger(__name__)
SPLITS = ("train", "test")
DIGITS_SEED = 0

# (images uint8, class indices, class names) of one split
Arrays = tuple[np.ndarray, np.ndarray, list[str]]


@dataclass(frozen=True)
class ZooEntry:
    """A zoo dataset. load: returns the arrays of one split."""

    title: str
    about: str
    load: Callable[[str, Task], Arrays]


def open_zoo(name: str, split: str | None, task: Task) -> Source:
    """Open a zoo dataset, all of it or one split. It is downloaded on first use.

    Raises LabelAuditError if the split does not exist or the download fails.
    """
    if split is not None and split not in SPLITS:
        raise BadInputError(f"{name} has no split {split!r}: its splits are train and test.")
    names = SPLITS if split is None else (split,)
    parts = [ZOO[name].load(part, task) for part in names]
    counts = [(part, len(images)) for part, (images, *_) in zip(names, parts, strict=True)]
    return open_arrays(
        np.concatenate([images for images, _, _ in parts]),
        np.concatenate([labels for _, labels, _ in parts]),
        [part for part, count in counts for _ in range(count)],
        classes=parts[0][2],
        description=f"zoo {name}",
        names=[f"{name}/{part}/{i:05d}.png" for part, count in counts for i in range(count)],
    )


def _digits(split: str, task: Task) -> Arrays:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    parts = train_test_split(
        np.arange(len(images)), test_size=0.2, random_state=DIGITS_SEED, stratify=digits.target
    )
    chosen = np.sort(parts[SPLITS.index(split)])
    return images[chosen], digits.target[chosen], [str(name) for name in digits.target_names]


def _torchvision(name: str, class_name: str) -> Callable[[str, Task], Arrays]:
    def load(split: str, task: Task) -> Arrays:
        root = local_home() / "downloads" / name
        root.mkdir(parents=True, exist_ok=True)
        with exclusive(root.with_suffix(".lock")):  # only one process downloads at a time
            return _download(name, class_name, split, root, task)

    return load


def _download(name: str, class_name: str, split: str, root: Path, task: Task) -> Arrays:
    """Load a split with torchvision's downloader. Broken archives are reported and replaced."""
    from torchvision import datasets

    dataset_class = getattr(datasets, class_name)
    for broken in _broken_archives(dataset_class, root):
        _warn(f"{broken} is broken or incomplete: downloading it again", task)
        broken.unlink()
    try:
        return _read(dataset_class, root, split, name, task)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        if _is_network(error):
            raise StorageError(
                f"{name} could not be downloaded ({' '.join(str(error).split())}): check the "
                f"network, or put the files where torchvision expects them below {root}."
            ) from error
        _warn(f"the files of {name} are broken ({error}): unpacking them again", task)
        _remove_unpacked(dataset_class, root)
    try:
        return _read(dataset_class, root, split, name, task)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise StorageError(
            f"the download of {name} was incomplete twice ({error}): check the network and try "
            "again."
        ) from error


def _read(dataset_class, root: Path, split: str, name: str, task: Task) -> Arrays:
    task.announce(f"downloading {name}, unless it is cached")
    dataset = dataset_class(str(root), train=split == "train", download=True)
    return np.asarray(dataset.data), np.asarray(dataset.targets), list(dataset.classes)


def _broken_archives(dataset_class, root: Path) -> list[Path]:
    """Return the downloaded archives that do not have the checksum that torchvision expects."""
    from torchvision.datasets.utils import check_integrity

    return [
        path
        for path, md5 in _archives(dataset_class, root)
        if path.exists() and not check_integrity(str(path), md5)
    ]


def _archives(dataset_class, root: Path) -> list[tuple[Path, str]]:
    """Return the paths of the archives that torchvision downloads, and their MD5 checksums."""
    if hasattr(dataset_class, "tgz_md5"):  # CIFAR: one archive
        return [(root / dataset_class.filename, dataset_class.tgz_md5)]
    raw = root / dataset_class.__name__ / "raw"  # MNIST: four
    return [(raw / filename, md5) for filename, md5 in dataset_class.resources]


def _is_network(error: Exception) -> bool:
    """Whether the network failed: URLError, or torchvision's error after all mirrors of MNIST."""
    return isinstance(error, URLError) or str(error).startswith("Error downloading")


def _remove_unpacked(dataset_class, root: Path) -> None:
    """Delete all files except the archives, which have the right checksums."""
    archives = {path for path, _ in _archives(dataset_class, root)}
    for path in root.rglob("*"):
        if path.is_file() and path not in archives:
            path.unlink()


def _warn(message: str, task: Task) -> None:
    log.warning(message)
    task.announce(message)


ZOO: dict[str, ZooEntry] = {
    "digits": ZooEntry(
        "Digits", "1,797 handwritten digits, 8x8 grey; comes with scikit-learn", _digits
    ),
    "cifar10": ZooEntry(
        "CIFAR-10",
        "60,000 photographs, 32x32 colour, 10 classes; 170 MB download",
        _torchvision("cifar10", "CIFAR10"),
    ),
    "cifar100": ZooEntry(
        "CIFAR-100",
        "60,000 photographs, 32x32 colour, 100 classes; 169 MB download",
        _torchvision("cifar100", "CIFAR100"),
    ),
    "mnist": ZooEntry(
        "MNIST",
        "70,000 handwritten digits, 28x28 grey; 11 MB download",
        _torchvision("mnist", "MNIST"),
    ),
    "fashion_mnist": ZooEntry(
        "Fashion-MNIST",
        "70,000 articles of clothing, 28x28 grey, 10 classes; 31 MB download",
        _torchvision("fashion_mnist", "FashionMNIST"),
    ),
}
