"""The long steps of an audit on a Ray cluster; an optional extra.

The only folder that imports Ray, and only when it is used. Workers call the functions that a single
process calls; this folder distributes the work and combines the results. May import `ranking` and
the folders below it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..core.errors import BadInputError, LabelAuditError

if TYPE_CHECKING:  # importing torch takes seconds
    from ..learn.first_look import Backend

HERE, RAY = PLACES = ("here", "ray")  # values of `on`
NEEDED = ("ray", "lance_ray", "lance")
_MODULES = {
    "train": "training",
    "predict": "predicting",
    "compute_scores": "scoring",
    "map_blocks": "looking",
    "compute_features": "extracting",
}


@dataclass(frozen=True)
class Steps:
    """The long steps of an audit, on this machine or on a cluster, with the same arguments.

    first_look: the backend of `first_look`. session: a context in which they share a cluster.
    """

    train: Callable
    predict: Callable
    compute_scores: Callable
    first_look: Backend
    session: Callable[[], AbstractContextManager]


def steps(on: str) -> Steps:
    """Return the steps for on="here" or on="ray". Raises LabelAuditError as `check_place`."""
    from ..learn.first_look import Backend

    if check_place(on):
        from .connection import connected
        from .extracting import compute_features
        from .looking import map_blocks
        from .predicting import predict
        from .scoring import compute_scores
        from .training import train

        return Steps(
            train, predict, compute_scores, Backend(compute_features, map_blocks), connected
        )
    from ..learn.predict import predict
    from ..learn.train import train
    from ..ranking.scoring import compute_scores

    return Steps(train, predict, compute_scores, Backend(), nullcontext)


def is_installed() -> bool:
    """Whether the extra is installed. Does not import Ray, which takes seconds."""
    return all(find_spec(name) is not None for name in NEEDED)


def check_place(on: str) -> bool:
    """Whether `on` is Ray. Raises LabelAuditError for a value other than "here" and "ray", and if
    Ray is not installed."""
    if on not in PLACES:
        raise BadInputError(f"on={on!r}: choose here (this machine) or ray (a Ray cluster).")
    if on == RAY and not is_installed():
        raise LabelAuditError(
            'Ray, which a cluster needs, is not installed: pip install "labelaudit[cluster]".'
        )
    return on == RAY


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


__all__ = [
    "HERE",
    "PLACES",
    "RAY",
    "Steps",
    "check_place",
    "compute_features",
    "compute_scores",
    "is_installed",
    "map_blocks",
    "predict",
    "steps",
    "train",
]
