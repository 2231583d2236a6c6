"""Feature extractors: their output, their registry, and what happens without weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import labelaudit
from labelaudit.core.errors import LabelAuditError, NotFoundError
from labelaudit.features.extractors import Examples, Extractor, open_extractor
from labelaudit.features.lite0 import WIDTH, load_lite0, open_lite0
from labelaudit.features.patches import FILTERS, POOLED, Patches
from labelaudit.features.pixels import Pixels
from labelaudit.features.timm_networks import open_timm
from labelaudit.features.torchvision_networks import open_torchvision

TINY = "test_vit"  # of timm: 370,000 weights


@pytest.fixture
def stripes(home):
    """Examples of 40 images of 32 pixels."""
    images = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    dataset = labelaudit.load_arrays("stripes", images, np.arange(40) % 2)
    return Examples(dataset.view().frame, dataset.view().ids)


@pytest.fixture
def images() -> torch.Tensor:
    """Six images, uint8 (6, 3, 32, 32)."""
    return torch.from_numpy(np.random.default_rng(1).integers(0, 255, (6, 3, 32, 32), np.uint8))


@pytest.fixture
def single_precision(monkeypatch):
    """Networks compute in float32, also where the processor has bfloat16."""
    monkeypatch.setattr("labelaudit.features.networks.multiplies_bfloat16", lambda device: False)


def open_named(name: str, examples: Examples) -> Extractor:
    """Open an extractor by name, without downloading weights."""
    if name.startswith("timm:"):
        return open_timm(name.removeprefix("timm:"), examples, pretrained=False)
    return open_extractor(name, examples)


@pytest.mark.parametrize("name", ["pixels", "patches", "lite0", f"timm:{TINY}"])
class TestEachExtractor:
    def test_shape_and_type(self, name, stripes, images):
        extractor = open_named(name, stripes)
        assert extractor.name == name
        assert 1 <= extractor.size <= 32  # smaller images are enlarged later
        pixels = torch.nn.functional.interpolate(images, extractor.size)
        features = extractor.of(pixels)
        assert (features.shape, features.dtype) == ((6, extractor.width), np.float32)
        assert np.isfinite(features).all()
        assert features.std(axis=0).max() > 0  # they depend on the image

    def test_features_depend_on_nothing_else(self, name, stripes, images):
        first, second = open_named(name, stripes), open_named(name, stripes)
        if "timm" not in name:  # random weights
            assert first.version == second.version
            np.testing.assert_array_equal(first.of(images), second.of(images))
        np.testing.assert_array_equal(first.of(images), first.of(images))
        some = first.of(images[2:4])
        scale = np.abs(some).max()
        np.testing.assert_allclose(some, first.of(images)[2:4], atol=0.02 * scale)


def test_features_of_an_image_and_its_mirror_image_are_the_same(stripes, images):
    features = open_extractor("patches", stripes)
    assert isinstance(features, Patches)
    seen, mirrored = features.of(images), features.of(images.flip(3))
    assert seen.shape == (6, 2 * FILTERS * POOLED**2)
    np.testing.assert_allclose(seen, mirrored, rtol=1e-3, atol=1e-3)
    flat = features.of(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert np.isfinite(flat).all()


def test_filters_that_are_stored_are_used_again(stripes, images):
    first = open_extractor("patches", stripes)
    again = open_extractor("patches", Examples(stripes.frame, stripes.ids[:3], first.state))
    assert again.version == first.version
    np.testing.assert_array_equal(again.of(images), first.of(images))
    assert open_extractor("patches", Examples(stripes.frame, stripes.ids[:3])).version != (
        first.version
    )


def test_pixels_are_grey_values():
    grey = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(2, 3, 8, 8)
    np.testing.assert_array_equal(Pixels(8).of(grey)[0], np.arange(64))
    large = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    np.testing.assert_array_equal(Pixels(32).of(large), np.full((1, 256), 7))


@torch.inference_mode()
def test_lite0_is_the_network_with_the_weights_of_the_wheel(stripes, images, single_precision):
    extractor = open_lite0("", stripes)
    assert (extractor.input, extractor.size, extractor.width) == (96, 32, WIDTH)
    found = extractor.of(images[:1])[0]
    pixels = torch.nn.functional.interpolate(images[:1].float(), (96, 96), mode="bicubic")
    network = load_lite0()  # batch norms are not folded
    x = pixels.clamp(0, 255) / 127.5 - 1
    features = network.forward_features(x).mean((2, 3))[0].numpy()  # of the head
    np.testing.assert_allclose(found[-len(features) :], features, atol=1e-2)
    stages = network.forward_intermediates(x, indices=[1, 2, 3, 4], intermediates_only=True)
    widths = {stage.shape[1]: stage.mean((2, 3))[0].numpy() for stage in stages}
    np.testing.assert_allclose(found[:40], widths[40], atol=1e-2)
    np.testing.assert_allclose(found[40:152], widths[112], atol=1e-2)
    np.testing.assert_allclose(found[152:472], widths[320], atol=1e-2)


def test_lite0_sees_photographs_at_their_own_size(home):
    photo = np.random.default_rng(0).integers(0, 255, (2, 300, 120, 3), np.uint8)
    dataset = labelaudit.load_arrays("photos", photo, [0, 1])
    extractor = open_lite0("", Examples(dataset.view().frame, dataset.view().ids))
    assert (extractor.input, extractor.size) == (224, 224)
    assert extractor.version.endswith("at 224 px")


def test_low_precision_changes_features_little(stripes, images, monkeypatch):
    extractors = []
    for low in (False, True):
        monkeypatch.setattr(
            "labelaudit.features.networks.multiplies_bfloat16", lambda device, low=low: low
        )
        extractors.append(open_lite0("", stripes))
    exact, fast = (extractor.of(images) for extractor in extractors)
    assert fast.dtype == np.float32
    cosine = (exact * fast).sum(axis=1) / np.linalg.norm(exact, axis=1)
    assert (cosine / np.linalg.norm(fast, axis=1) > 0.98).all()


def test_any_network_of_timm_and_torchvision_can_be_used(stripes, images):
    extractor = open_timm(TINY, stripes, pretrained=False)
    assert extractor.of(images).shape == (6, extractor.width)
    extractor = open_torchvision("resnet18", stripes, pretrained=False)
    assert (extractor.name, extractor.input) == ("torchvision:resnet18", 224)
    features = extractor.of(images[:2])
    assert features.shape == (2, 512)
    assert (features >= 0).all()  # the mean of rectified values: the input of the last layer


def test_pretrained_weights_of_torchvision_bring_their_own_size(stripes, monkeypatch):
    from torchvision import models

    get_model = models.get_model
    monkeypatch.setattr(models, "get_model", lambda name, weights: get_model(name))
    extractor = open_torchvision("resnet18", stripes)
    assert extractor.input == 224


class TestWeightsThatCannotBeHad:
    def test_timm(self, stripes, monkeypatch):
        def fail(*_, **__):
            raise OSError("no route to host\nand more")

        monkeypatch.setattr("timm.create_model", fail)
        with pytest.raises(
            LabelAuditError,
            match=rf"the weights of timm:{TINY} could not be loaded \(no route to host\)",
        ):
            open_extractor(f"timm:{TINY}", stripes)

    def test_torchvision(self, stripes, monkeypatch):
        def fail(*_, **__):
            raise OSError("no route to host")

        monkeypatch.setattr("torchvision.models.get_model", fail)
        with pytest.raises(LabelAuditError, match="choose lite0, which is installed"):
            open_extractor("torchvision:resnet18", stripes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eye", r"no feature extractor 'eye': .*lite0, timm:NAME"),
        ("timm", "write timm:NAME"),
        ("lite0:big", "lite0 takes no name"),
        ("timm:resnet9000", r"timm has no network 'resnet9000'.*list_pretrained"),
        ("torchvision:resnet9000", "torchvision has no classification network 'resnet9000'"),
        ("torchvision:fcn_resnet50", "torchvision has no classification network"),
    ],
)
def test_a_wrong_name_is_an_error_that_says_what_there_is(stripes, name, message):
    with pytest.raises(NotFoundError, match=message):
        open_extractor(name, stripes)
