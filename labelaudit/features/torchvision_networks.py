"""Any classification network of torchvision as a feature extractor."""

from __future__ import annotations

import torch

from ..core.errors import LabelAuditError, NotFoundError
from .extractors import Examples
from .networks import NetworkExtractor, fingerprint

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def open_torchvision(name: str, examples: Examples, pretrained: bool = True) -> NetworkExtractor:
    """Open `torchvision:NAME` for the images of a dataset.

    The features are the input of the network's last linear layer. The weights are downloaded on
    first use.

    Raises NotFoundError for a name that torchvision does not have, and LabelAuditError if the
    weights cannot be downloaded.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise NotFoundError(
            f"torchvision has no classification network {name!r}: choose one of "
            "torchvision.models.list_models(module=torchvision.models)."
        )
    weights = models.get_model_weights(name).DEFAULT if pretrained else None
    try:
        network = models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:
        raise LabelAuditError(
            f"the weights of torchvision:{name} could not be downloaded ({error}): connect this "
            "machine to the internet once, or choose lite0, which is installed."
        ) from error
    network.eval().requires_grad_(False)
    wanted = weights.transforms() if weights else None
    return NetworkExtractor(
        f"torchvision:{name}",
        network,
        lambda images: _last_input(network, images),
        last_linear(network).in_features,
        wanted.crop_size[0] if wanted else 224,
        wanted.mean if wanted else MEAN,
        wanted.std if wanted else STD,
        examples.side,
        fingerprint(network),
    )


def last_linear(network: torch.nn.Module) -> torch.nn.Linear:
    """Return the last linear layer of a network."""
    return [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]


def _last_input(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    inputs: list[torch.Tensor] = []
    hook = last_linear(network).register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        network(images)
    finally:
        hook.remove()
    return inputs[0]
