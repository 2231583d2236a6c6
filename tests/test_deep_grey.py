"""Grey images with more than 8 bits, and the memory that images take while they are decoded."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

import labelaudit
from labelaudit.core import images as core_images
from labelaudit.core.deep_grey import GreyScales, extent
from labelaudit.core.images import decode, decoding, encode, pixel_hash, shrink, to_rgb
from labelaudit.core.memory_budget import MemoryBudget
from labelaudit.features.image_batches import Images

DARK, BRIGHT = 0.2, 0.9  # of the greatest value


def grey(level: float, most: float, dtype, seed: int = 0) -> Image.Image:
    """A noisy image around a level. Stretched one by one, all levels look the same."""
    noise = np.random.default_rng(seed).normal(level, 0.03, (16, 16)).clip(0, 1)
    return Image.fromarray((noise * most).astype(dtype))


def saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def means(dataset) -> np.ndarray:
    """Mean brightness, 0 to 255, as the features see the images, and as a sample shows them."""
    frame = dataset.view().frame
    ((_, pixels),) = Images(frame, frame.ids, 16).batches(np.arange(len(frame.ids)), 99)
    seen = pixels.float().mean(dim=(1, 2, 3)).numpy()
    shown = [np.asarray(to_rgb(sample.image)).mean() for sample in dataset.view()]
    np.testing.assert_allclose(seen, shown, atol=1)
    return seen


@pytest.mark.parametrize(
    ("most", "dtype", "kind", "depth"),
    [
        (65535, np.uint16, "PNG", "16-bit"),
        (4095, np.uint16, "PNG", "16-bit"),  # 12-bit data in a 16-bit file
        (4095, np.uint16, "TIFF", "16-bit"),
        (1, np.float32, "TIFF", "float"),
        (1000, np.float32, "TIFF", "float"),
        (3_000_000, np.int32, "TIFF", "32-bit"),
    ],
)
def test_classes_that_differ_in_brightness_stay_different(tmp_path, home, most, dtype, kind, depth):
    for i in range(6):
        path = tmp_path / "in" / ("dark", "bright")[i % 2] / f"{i}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved(grey((DARK, BRIGHT)[i % 2], most, dtype, i), kind))
    dataset = labelaudit.load_dataset("x", tmp_path / "in")
    bright = dataset.view().values("ground_truth") == "bright"
    seen = means(dataset)
    assert seen[bright].min() - seen[~bright].max() > 100
    assert np.ptp(seen[bright]) < 20  # one scale for all
    low, high = dataset.info["grey"][depth]
    assert 0 <= low < DARK * most < BRIGHT * most < high <= 1.03 * most
    (note,) = dataset.info["skipped"]["notes"]
    assert f"{high:g} and more is white" in note


def test_images_in_memory_have_one_scale_too(home):
    pictures = [grey((DARK, BRIGHT)[i % 2], 1, np.float32, i) for i in range(6)]
    dataset = labelaudit.load_arrays("x", pictures, [i % 2 for i in range(6)])
    seen = means(dataset)
    assert seen[1::2].min() - seen[::2].max() > 100
    assert set(dataset.info["grey"]) == {"float"}
    np.testing.assert_array_equal(np.asarray(dataset[1].image), np.asarray(pictures[0]))  # exact
    # a sample that is added later is read with the same scale
    dataset.add_samples({"image": [encode(grey(BRIGHT, 1, np.float32, 9))], "label": ["1"]})
    assert abs(means(dataset)[-1] - seen[1]) < 10


def test_a_dataset_without_a_measured_scale_uses_the_usual_depths(home):
    colour = np.zeros((2, 16, 16, 3), np.uint8)
    dataset = labelaudit.load_arrays("x", colour, [0, 1])
    added = [grey(level, 4095, np.uint16) for level in (DARK, BRIGHT)]
    dataset.add_samples({"image": list(map(encode, added)), "label": ["0", "1"]})
    assert means(dataset)[2:] == pytest.approx([255 * DARK, 255 * BRIGHT], abs=5)


def test_images_of_16_bits_look_like_the_same_images_of_8_bits(tmp_path, home):
    levels = np.linspace(0.1, 0.9, 256).reshape(16, 16)
    deep, usual = (levels * 65535).astype(np.uint16), (levels * 255).astype(np.uint8)
    for name, values in (("a", deep), ("b", usual)):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "1.png").write_bytes(saved(Image.fromarray(values), "PNG"))
    dataset = labelaudit.load_dataset("x", tmp_path / "in")
    assert dataset.info["grey"] == {"16-bit": [0, 65535]}
    assert np.ptp(means(dataset)) < 1


def test_a_hot_pixel_and_a_broken_image_do_not_set_the_scale():
    values = np.full((100, 100), 1000, np.uint16)
    values[0, 0], values[50:] = 65535, 3000
    assert extent(Image.fromarray(values)) == (1000, 3000)
    scales = GreyScales()
    for _ in range(3000):
        scales.add("16-bit", 0, 4095)
    scales.add("16-bit", 0, 65535)
    assert scales.result() == {"16-bit": [0, 4095]}
    assert extent(Image.fromarray(np.full((4, 4), np.nan, np.float32))) is None


def test_32_bit_values_that_fit_16_bits_become_png_and_others_tiff():
    few = Image.fromarray(np.array([[1, 60_000]], np.int32))
    many = Image.fromarray(np.array([[-5, 1 << 20]], np.int32))
    for image, start in ((few, b"\x89PNG"), (many, b"II*")):
        data = encode(image)
        assert data.startswith(start)
        assert np.asarray(decode("x", data)).tolist() == np.asarray(image).tolist()


# --- memory ---


def test_a_large_image_is_made_smaller_at_once_and_looks_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (6, 5, 4), np.uint8)
    large = Image.fromarray(small.repeat(40, 0).repeat(40, 1))
    cases = [large.convert("RGB"), large.convert("L"), large, large.convert("P")]
    cases += [grey(DARK, 4095, np.uint16).resize((200, 240))]
    data = [saved(image, "PNG") for image in cases]
    whole = [decode("x", one, 8, {}) for one in data]
    hashes = [pixel_hash(image) for image in whole]
    monkeypatch.setattr(core_images, "LARGE_PIXELS", 1000)
    monkeypatch.setattr("labelaudit.core.deep_grey.STRIP_PIXELS", 1000)
    monkeypatch.setattr(core_images, "STRIP_PIXELS", 1000)
    for image, one, known in zip(whole, data, hashes, strict=True):
        less = decode("x", one, 8, {})
        assert (less.size, less.info["full_size"]) == ((17, 16), image.size)
        size = (5, 6)
        expected, found = (
            np.asarray(to_rgb(i).resize(size, Image.Resampling.BILINEAR), int)
            for i in (image, less)
        )
        assert np.abs(expected - found).mean() < 8
        assert pixel_hash(decode("x", one)) == known  # of all pixels, part by part
    assert decode("x", data[0]).size == (200, 240)  # whole where no size is given
    assert shrink(whole[0], 500) is whole[0]


def test_the_memory_of_large_images_goes_back_to_the_system():
    assert Image.core.get_block_size() > 32 << 20  # which glibc always maps


def test_an_rgb_image_is_not_copied_and_the_callers_image_is_not_changed():
    image = Image.fromarray(np.zeros((300, 400, 3), np.uint8))
    assert to_rgb(image) is image
    core_images.data_uri(image, 100)
    assert image.size == (400, 300)


def test_images_wait_while_others_take_the_memory(monkeypatch):
    monkeypatch.setattr(core_images, "DECODED", MemoryBudget(1000))
    data = saved(Image.fromarray(np.zeros((20, 30), np.uint8)), "PNG")  # 600 bytes when decoded
    done = threading.Event()

    def other() -> None:
        decode("x", data)
        done.set()

    with decoding("x", data):
        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.1)
    thread.join(300)
    assert done.is_set()
    large = saved(Image.fromarray(np.zeros((50, 60), np.uint8)), "PNG")
    assert decode("x", large).size == (60, 50)  # more than the whole budget: alone
