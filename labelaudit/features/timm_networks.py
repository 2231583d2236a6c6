"""Any network of timm as a feature extractor, with the preprocessing that its weights want."""

from __future__ import annotations

from ..core.errors import LabelAuditError, NotFoundError
from .extractors import Examples
from .networks import NetworkExtractor, fingerprint


def open_timm(name: str, examples: Examples, pretrained: bool = True) -> NetworkExtractor:
    """Open `timm:NAME` for the images of a dataset.

    The weights are downloaded on first use. Raises NotFoundError for a name that timm does not
    have, and LabelAuditError if the weights cannot be downloaded.
    """
    import timm

    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"*{architecture.partition('_')[0]}*")[:5])
        raise NotFoundError(
            f"timm has no network {architecture!r}"
            + (f" (it has {near} …)" if near else "")
            + ": choose one of timm.list_pretrained()."
        )
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:  # of the hub, the network or the disk: anything may be raised
        raise LabelAuditError(
            f"the weights of timm:{name} could not be loaded ({_first_line(error)}): connect this "
            "machine to the internet once, or choose lite0, which is installed."
        ) from error
    network.eval().requires_grad_(False)
    wanted = timm.data.resolve_model_data_config(network)
    return NetworkExtractor(
        f"timm:{name}",
        network,
        network,
        network.num_features,
        wanted["input_size"][-1],
        wanted["mean"],
        wanted["std"],
        examples.side,
        fingerprint(network),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
