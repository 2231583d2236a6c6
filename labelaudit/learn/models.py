"""The networks. Each takes uint8 images and contains its own normalisation, so that the weights are
all that needs to be saved."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from .config import SMALL, TrainConfig

log = logging.getLogger(__name__)

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

WHITENED = 24  # channels of the first layer: 12 directions of a 2x2 colour patch, with both signs
WIDTHS = (24, 64, 96)  # channels of the three blocks; the first block costs most time
LOGIT_SCALE = 0.25  # keeps the first logits small, so that early margins do not outweigh later ones
WHITENING_EPSILON = (
    1e-2  # added to the patches' variance: keeps flat directions from becoming noise
)


class Block(nn.Module):
    """Convolution and pooling to half the size, then a residual convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(F.max_pool2d(self.conv1(x), 2)), inplace=True)
        return x + F.relu(self.norm2(self.conv2(x)), inplace=True)


class SmallResNet(nn.Module):
    """A ResNet-9-like net for images of 16 to 64 pixels; 0.2 million weights.

    Its first layer is fixed: the principal directions of the training images' 2x2 patches, scaled
    to equal variance (as in KellerJordan/cifar10-airbench), so that training starts from whitened
    input.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))
        self.whiten = nn.Conv2d(3, WHITENED, 2, bias=False)
        self.whiten.weight.requires_grad_(False)
        widths = (WHITENED, *WIDTHS)
        self.blocks = nn.Sequential(*map(Block, widths[:-1], widths[1:]))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    @torch.no_grad()
    def fit_input(self, images: torch.Tensor) -> None:
        """Set normalisation and whitening from training images, uint8 (n, 3, H, W)."""
        pixels = images.float()
        self.mean.copy_(pixels.mean((0, 2, 3)))
        self.std.copy_(pixels.std((0, 2, 3)).clamp_min(1.0))
        patches = F.unfold(_normalised(images, self.mean, self.std), 2)
        patches = patches.transpose(1, 2).reshape(-1, 12)
        variance, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        scaled = (directions / (variance + WHITENING_EPSILON).sqrt()).T.flip(0)
        filters = scaled.reshape(12, 3, 2, 2)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.whiten(_normalised(images, self.mean, self.std)), inplace=True)
        x = self.blocks(x).amax((2, 3))
        return self.head(x) * LOGIT_SCALE


class Backbone(nn.Module):
    """A torchvision network behind ImageNet normalisation."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        from torchvision.models import get_model

        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN))
        self.register_buffer("std", torch.tensor(IMAGENET_STD))
        self.net = get_model(name, weights=None, num_classes=classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(_normalised(images, self.mean, self.std))


class Ensemble(nn.Module):
    """Averages the logits of several models of the same samples."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return sum(member(images) for member in self.members) / len(self.members)


def build_model(config: TrainConfig, classes: int) -> nn.Module:
    """Return the untrained network of `config`: uint8 (n, 3, H, W) -> logits (n, classes)."""
    model = SmallResNet(classes) if config.model == SMALL else Backbone(config.model, classes)
    return model.to(memory_format=torch.channels_last)


def load_pretrained(model: Backbone, name: str) -> str | None:
    """Load ImageNet weights into a backbone, except for its last layer.

    torchvision downloads them once (into TORCH_HOME). Returns None, or why they are not available.
    """
    from torchvision.models import get_model_weights

    try:
        state = get_model_weights(name).DEFAULT.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash RuntimeError
        reason = f"ImageNet weights of {name} are not available ({error}); trained from scratch"
        log.warning(reason)
        return reason
    own = model.net.state_dict()
    fitting = {key: value for key, value in state.items() if own[key].shape == value.shape}
    model.net.load_state_dict(fitting, strict=False)
    return None


def _normalised(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    x = (images.float() - mean[:, None, None]) / std[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)
