"""The zoo's download code, against a small test server on 127.0.0.1."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
import struct
import tarfile

import numpy as np
import pytest
from torchvision import datasets

import labelaudit
from labelaudit import load_dataset
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.progress import Task

CLASSES = ["plane", "car"]


def md5(path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar(file_server, tmp_path, monkeypatch):
    """A CIFAR-10 of 6 + 2 images in the published format, served in place of the real one."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def batch(name: str, count: int) -> list[str]:
        entry = {
            "data": rng.integers(0, 255, (count, 3072), np.uint8),
            "labels": [i % 2 for i in range(count)],
        }
        (folder / name).write_bytes(pickle.dumps(entry))
        return [name, md5(folder / name)]

    train, test = [batch("data_batch_1", 6)], [batch("test_batch", 2)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}))
    archive = file_server.folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    real = datasets.CIFAR10
    monkeypatch.setattr(real, "url", f"{file_server.url}/{archive.name}")
    monkeypatch.setattr(real, "tgz_md5", md5(archive))
    monkeypatch.setattr(real, "train_list", train)
    monkeypatch.setattr(real, "test_list", test)
    meta = {**real.meta, "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(real, "meta", meta)
    return file_server


def downloads(server) -> int:
    return sum("cifar-10-python" in path for path in server.requests)


def test_cifar10_is_downloaded_once_with_both_splits(cifar):
    dataset = load_dataset("cifar10")
    asked = downloads(cifar)  # torchvision opens an address twice: to follow it, and to read it
    assert asked > 0
    assert dataset.classes == CLASSES
    assert dataset.info["splits"] == {"train": 6, "test": 2}
    assert dataset[1].image.size == (32, 32)
    assert dataset[7].filepath == "cifar10/test/00000.png"
    assert load_dataset("cifar10").created == dataset.created  # there already
    labelaudit.delete_dataset("cifar10")
    assert len(load_dataset("cifar10")) == 8  # made again from the files that are here
    assert load_dataset("cifar10", split="test").name == "cifar10-test"
    assert downloads(cifar) == asked


def test_a_partial_archive_is_reported_and_fetched_again(cifar, home):
    whole = (cifar.folder / "cifar-10-python.tar.gz").read_bytes()
    partial = home / "downloads" / "cifar10" / "cifar-10-python.tar.gz"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[: len(whole) // 2])
    stages = []
    dataset = load_dataset("cifar10", task=Task(lambda p: stages.append(p.stage)))
    assert len(dataset) == 8
    assert any("broken or incomplete: downloading it again" in stage for stage in stages)
    assert partial.read_bytes() == whole


def test_damaged_extracted_files_are_fetched_again(cifar, home):
    load_dataset("cifar10")
    labelaudit.delete_dataset("cifar10")
    (home / "downloads/cifar10/cifar-10-batches-py/test_batch").write_bytes(b"damaged")
    assert len(load_dataset("cifar10")) == 8


def test_no_network_is_one_clear_sentence(cifar):
    cifar.close()
    with pytest.raises(LabelAuditError, match=r"cifar10 could not be downloaded.*check the net"):
        load_dataset("cifar10")
    assert labelaudit.list_datasets() == []


def test_an_archive_that_is_wrong_at_the_server_is_reported(cifar):
    (cifar.folder / "cifar-10-python.tar.gz").write_bytes(b"something else")
    with pytest.raises(LabelAuditError, match="was incomplete twice"):
        load_dataset("cifar10")
    assert labelaudit.list_datasets() == []


@pytest.fixture
def mnist(file_server, monkeypatch):
    """An MNIST of 5 + 3 images in the published format."""
    rng = np.random.default_rng(0)
    resources = []
    for part, count in (("train", 5), ("t10k", 3)):
        images = struct.pack(">IIII", 2051, count, 28, 28) + rng.bytes(count * 784)
        labels = struct.pack(">II", 2049, count) + bytes(range(count))
        for kind, data in (("images-idx3", images), ("labels-idx1", labels)):
            path = file_server.folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(data))
            resources.append((path.name, md5(path)))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [file_server.url + "/"])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return file_server


def test_mnist_through_its_own_downloader(mnist):
    dataset = load_dataset("mnist")
    assert dataset.info["splits"] == {"train": 5, "test": 3}
    assert dataset[1].image.size == (28, 28)
    assert len(dataset.classes) == 10
    asked = len(mnist.requests)
    labelaudit.delete_dataset("mnist")
    load_dataset("mnist")
    assert len(mnist.requests) == asked > 0


def test_without_a_network_the_files_that_are_here_stay(mnist, home):
    first = datasets.MNIST.resources[0][0]
    raw = home / "downloads" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    shutil.copy(mnist.folder / first, raw / first)
    mnist.close()
    with pytest.raises(LabelAuditError, match=r"mnist could not be downloaded.*check the net") as e:
        load_dataset("mnist")
    assert "\n" not in str(e.value)
    assert (raw / first).exists()


def test_digits_needs_no_network_and_is_always_the_same(home, monkeypatch):
    first = load_dataset("digits")
    assert first.info["splits"] == {"train": 1437, "test": 360}
    counts = first.view().match(split="test").count_values("ground_truth")
    assert max(counts.values()) - min(counts.values()) <= 3  # balanced by class
    table = first.view().to_pandas()
    again = load_dataset("digits", overwrite=True)
    assert again.view().to_pandas().equals(table)
    pixels = np.stack([np.asarray(sample.image) for sample in first.view().head(50)])
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_unknown_splits_and_names(home):
    with pytest.raises(LabelAuditError, match="splits are train and test"):
        load_dataset("digits", split="dev")
    with pytest.raises(LabelAuditError, match=r"no dataset 'imagenet'.*digits, cifar10"):
        load_dataset("imagenet")
