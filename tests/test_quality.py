"""Image quality: measures of made-up images, and the issues found from them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

import labelaudit
from labelaudit.core.errors import StoppedError
from labelaudit.core.images import encode
from labelaudit.core.progress import Task
from labelaudit.dataset.image_issues import ISSUES, MEASURES, image_issues
from labelaudit.features import quality
from labelaudit.features.quality import measure, measure_quality


def photo(seed: int, width: int = 60, height: int = 60) -> np.ndarray:
    """A colourful picture with sharp edges and all brightnesses, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (height // 6 + 1, width // 6 + 1, 3), np.uint8)
    return blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]


def blurred(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(12)))


MADE = {
    "dark": lambda pixels: pixels // 6,
    "bright": lambda pixels: 249 + pixels // 50,
    "blurred": blurred,
    "low information": lambda pixels: np.full_like(pixels, 120) + (pixels > 250),
    "grey": lambda pixels: pixels[..., :1].repeat(3, axis=2),
}
SIZES = {"odd shape": (150, 40), "odd size": (400, 400)}  # width, height


@pytest.fixture
def pictures(home, tmp_path):
    """40 good pictures, then one with each issue, in the order of MADE and SIZES."""
    arrays = [photo(seed) for seed in range(40)]
    arrays += [make(photo(50 + i)) for i, make in enumerate(MADE.values())]
    arrays += [photo(90 + i, *size) for i, size in enumerate(SIZES.values())]
    folder = tmp_path / "pictures/things"
    folder.mkdir(parents=True)
    for i, pixels in enumerate(arrays):
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return labelaudit.load_dataset("pictures", folder.parent)


def test_the_measures_of_known_images():
    flat = np.zeros((3, 3, 96, 96), np.uint8)
    flat[1] = 255
    flat[2, :, ::2] = 255  # lines
    shadows, highlights, sharpness, entropy, colour = measure(flat).T
    assert measure(flat).dtype == np.float32
    np.testing.assert_allclose(shadows, [0, 1, 0], atol=1e-3)
    np.testing.assert_allclose(highlights, [0, 1, 1], atol=1e-3)
    np.testing.assert_allclose(sharpness, [0, 0, 510], atol=1)
    np.testing.assert_allclose(entropy, [0, 0, 1], atol=1e-3)
    np.testing.assert_allclose(colour, 0)
    red = np.zeros((1, 3, 96, 96), np.uint8)
    red[:, 0] = 200
    values = dict(zip(MEASURES, measure(red)[0], strict=True))
    assert values["colour"] == 200
    assert values["shadows"] == pytest.approx(200 / 255 * np.sqrt(0.241), rel=1e-3)


def test_each_kind_of_issue_is_found_where_it_was_made(pictures):
    frame = pictures.view().frame
    assert image_issues(frame) == {}  # not measured yet
    measure_quality(frame, frame.ids)
    issues = image_issues(frame)
    assert list(issues) == list(ISSUES)
    for at, name in enumerate([*MADE, *SIZES], start=40):
        assert issues[name][at], name
        # of the good pictures none has an issue
        assert not issues[name][:40].any(), name
    flat = 40 + list(MADE).index("low information")
    assert not issues["dark"][flat]
    assert not issues["bright"][flat]


def test_a_kind_that_is_usual_is_a_property_of_the_dataset(few_digits):
    frame = few_digits.view().frame
    measure_quality(frame, frame.ids)
    issues = image_issues(frame)
    assert not issues["grey"].any()
    assert not issues["blurred"].any()  # images of 8 pixels are never sharp
    assert not issues["odd size"].any()


def test_images_are_measured_once_and_a_stop_keeps_what_is_done(pictures, monkeypatch):
    frame, measured = pictures.view().frame, []
    monkeypatch.setattr(quality, "ROWS", 16)
    monkeypatch.setattr(
        quality, "measure", lambda pixels: (measured.append(len(pixels)), measure(pixels))[1]
    )
    with pytest.raises(StoppedError, match="what is done is kept"):
        measure_quality(frame, frame.ids, Task(stop=lambda: sum(measured) >= 32))
    assert sum(measured) == 32
    measure_quality(frame, frame.ids)
    assert sum(measured) == 47
    measure_quality(frame, frame.ids)
    assert sum(measured) == 47
    assert image_issues(frame)["dark"][40]


def test_images_that_cannot_be_read_have_no_issue(pictures):
    pictures.add_samples([{"filepath": "broken.png", "image": b"no image", "label": "things"}])
    frame = pictures.view().frame
    measure_quality(frame, frame.ids)
    assert not any(found[-1] for found in image_issues(frame).values())


def test_issues_follow_new_samples(pictures):
    frame = pictures.view().frame
    measure_quality(frame, frame.ids)
    assert len(image_issues(frame)["dark"]) == 47
    dark = encode(Image.fromarray(photo(99) // 8))
    pictures.add_samples([{"filepath": "night.png", "image": dark, "label": "things"}])
    frame = pictures.view().frame
    assert not image_issues(frame)["dark"][47]
    measure_quality(frame, frame.ids)
    assert image_issues(frame)["dark"][47]
