"""A dataset's images in torch's DataLoader."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from labelaudit import TorchImageDataset, load_arrays, load_dataset
from labelaudit.core.errors import LabelAuditError, NotFoundError
from labelaudit.learn.forked_reader import ForkedReader


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.fixture
def arrays(home):
    """30 images stored in the dataset: all pixels of the image with id i have grey value i."""
    images = np.repeat(np.arange(1, 31, dtype=np.uint8), 8 * 6).reshape(30, 8, 6)
    return load_arrays("greys", images, np.arange(30) % 3)


def test_image_label_and_id_of_each_sample(arrays):
    images = TorchImageDataset(arrays)
    assert len(images) == 30
    assert images.classes == arrays.classes
    np.testing.assert_array_equal(images.ids, arrays.view().ids)
    np.testing.assert_array_equal(images.labels, np.arange(30) % 3)
    image, label, sample_id = images[4]
    assert (image.mode, image.size, image.getpixel((2, 3))) == ("RGB", (6, 8), (5, 5, 5))
    assert (label, sample_id) == (1, 5)
    assert type(label) is type(sample_id) is int
    assert images[-1][2] == 30
    assert len([None for _ in images]) == 30
    with pytest.raises(IndexError, match="sample 30 of 30"):
        images[30]


def test_what_was_removed_is_not_trained_on_unless_a_view_holds_it(arrays):
    arrays.tag([4, 5], "removed")
    assert TorchImageDataset(arrays).ids.tolist() == [1, 2, 3, *range(6, 31)]
    assert len(TorchImageDataset(arrays.view())) == 30


def test_a_batch_is_read_at_once_in_the_order_asked_for(arrays, monkeypatch):
    images = TorchImageDataset(arrays, transform=as_tensor)
    taken = []
    frame = arrays.view().frame
    take = frame.take
    monkeypatch.setattr(frame, "take", lambda *a: (taken.append(1), take(*a))[1])
    batch, labels, ids = next(iter(DataLoader(images, sampler=[7, 3, 7, 0], batch_size=4)))
    assert taken == [1]
    assert ids.tolist() == [8, 4, 8, 1]
    assert labels.tolist() == [1, 0, 1, 0]
    assert batch[:, 0, 0, 0].tolist() == [8, 4, 8, 1]


def test_a_view_keeps_its_order_and_a_missing_label_is_minus_one(arrays):
    arrays.set_labels([12], None)
    images = TorchImageDataset(arrays.view().select([3, 12, 20]).sort_by("id", reverse=True))
    assert images.ids.tolist() == [20, 12, 3]
    assert images.labels.tolist() == [1, -1, 2]
    assert images[1][1] == -1


def test_images_are_resized_and_transformed(arrays):
    assert TorchImageDataset(arrays, image_size=16)[0][0].size == (16, 16)
    image, _, _ = TorchImageDataset(arrays, as_tensor, image_size=(10, 20))[0]
    assert image.shape == (3, 10, 20)


def test_a_dict_with_names_of_the_user(arrays):
    images = TorchImageDataset(arrays, as_tensor, keys=("pixel_values", "labels", "id"))
    batch = next(iter(DataLoader(images, batch_size=2)))
    assert list(batch) == ["pixel_values", "labels", "id"]
    assert batch["id"].tolist() == [1, 2]


def test_the_reader_of_a_forked_worker_reports_errors_and_its_end(arrays):
    store = arrays.view().store
    reader = ForkedReader(store.name, store.uri)
    assert reader(np.array([3, 1]))["filepath"].to_pylist() == ["3.png", "1.png"]
    with pytest.raises(NotFoundError, match="has no sample with id 99"):
        reader(np.array([1, 99]))
    assert len(reader(np.array([], np.int64))) == 0
    assert len(reader(np.array([2]))) == 1  # it still answers
    reader._process.kill()
    with pytest.raises(LabelAuditError, match=r"has ended \(exit status -9\): begin"):
        reader(np.array([1]))


def test_files_are_read_where_they_lie(home, tmp_path, picture):
    paths = [picture(tmp_path / "pets" / name / f"{i}.png", seed=i) for i, name in
             enumerate(["cat", "dog", "cat"])]  # fmt: skip
    images = TorchImageDataset(load_dataset("pets", tmp_path / "pets"))
    at = images.ids.tolist().index(images[0][2])
    assert images.classes[images[at][1]] == "cat"
    for path in paths:
        path.unlink()
    with pytest.raises(LabelAuditError, match=r"\.png cannot be read any more \(there is no such"):
        images[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size=0: give pixels"),
        ({"image_size": (8, 2.5)}, "image_size="),
        ({"keys": ("image", "label")}, "give three names"),
        ({"keys": "abc"}, "give three names"),
    ],
)
def test_what_cannot_be_meant_is_reported(arrays, options, message):
    with pytest.raises(LabelAuditError, match=message):
        TorchImageDataset(arrays, **options)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.system)])
def test_it_works_in_workers(arrays, method):
    """This process has used LanceDB: the workers must not use its connections."""
    images = TorchImageDataset(arrays, transform=as_tensor)
    assert images[0][2] == 1
    assert pickle.loads(pickle.dumps(images))[0][2] == 1
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(images, batch_size=4, shuffle=True, generator=generator,
                        num_workers=2 if method == "fork" else 1,  # which starts slowly
                        multiprocessing_context=method, timeout=300)  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lancedb fork support is experimental")
        batches = list(loader)
    ids = torch.cat([ids for _, _, ids in batches])
    assert sorted(ids.tolist()) == list(range(1, 31))
    assert ids.tolist() != sorted(ids.tolist())
    for pixels, labels, ids in batches:
        assert (pixels == ids[:, None, None, None]).all()
        assert (labels == (ids - 1) % 3).all()
