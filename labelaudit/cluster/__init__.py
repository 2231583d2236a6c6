"""The same audit on a Ray cluster: an optional extra, and the only room that knows Ray.

Nothing here imports Ray until it is used. What a worker does to a batch is what the rooms below do
in one process; this room only says who does which part, and puts the parts together.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from ..core.errors import LabelAuditError

HERE, RAY = PLACES = ("here", "ray")  # what `on` can be
NEEDED = ("ray", "lance_ray", "lance")
_HOMES = {"train": "training", "predict": "predicting", "compute_scores": "scoring"}


@dataclass(frozen=True)
class Steps:
    """What takes long in an audit, by this machine or by a cluster; the same calls. `session`: a
    context in which several of them need not start a cluster each."""

    train: Callable
    predict: Callable
    compute_scores: Callable
    session: Callable[[], AbstractContextManager]


def steps(on: str) -> Steps:
    """on: "here" or "ray". Raises LabelAuditError where Ray is not installed."""
    if check_place(on):
        from .predicting import predict
        from .scoring import compute_scores
        from .start import connected
        from .training import train

        return Steps(train, predict, compute_scores, connected)
    from ..learn.predict import predict
    from ..learn.train import train
    from ..ranking.scoring import compute_scores

    return Steps(train, predict, compute_scores, nullcontext)


def is_installed() -> bool:
    """Whether the extra is there. Ray takes seconds to import, and is not imported for this."""
    return all(find_spec(name) is not None for name in NEEDED)


def check_place(on: str) -> bool:
    """Whether the work is to be done by Ray. Raises LabelAuditError where it is not installed, and
    for any other word than "here" and "ray"."""
    if on not in PLACES:
        raise LabelAuditError(f"on={on!r}: choose here (this machine) or ray (a Ray cluster).")
    if on == RAY and not is_installed():
        raise LabelAuditError(
            "Ray is not installed, so nothing can be done on a cluster: pip install "
            '"labelaudit[cluster]".'
        )
    return on == RAY


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


__all__ = [
    "HERE",
    "PLACES",
    "RAY",
    "Steps",
    "check_place",
    "compute_scores",
    "is_installed",
    "predict",
    "steps",
    "train",
]
