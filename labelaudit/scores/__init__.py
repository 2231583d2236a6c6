"""Every score: pure functions of labels, logits and training dynamics. Higher is more suspicious.

To add one: a file with one function, and one line in `SCORES`. The app, the command line and the
docs pick it up from there. Nothing here knows where the arrays come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .aum import aum
from .cartography import cartography
from .confident_learning import confident_learning
from .hardness import hardness
from .mistakenness import mistakenness
from .neighbours import neighbours
from .normalized_margin import normalized_margin
from .self_confidence import self_confidence
from .suspicion import SUSPICION, suspicion


@dataclass(frozen=True)
class Score:
    """A score and what a person needs to know of it."""

    name: str
    title: str
    meaning: str  # one sentence, for tooltips and help texts
    # "logits": f(labels (n,), logits (n, C)); "all_logits": f(labels, batches), all of them twice
    # (in `rank` by the model that f is made of); "posterior": f(labels, batches, out_of_sample),
    # likewise, which suggests labels, too; a measure of the training dynamics ("margin",
    # "out_p_label" …): f((epochs, n)); "neighbours": f(labels, their labels (n, k), cosines)
    reads: str
    # Above it the evidence speaks for another class. None: no such point; of a score that judges
    # the label, suspects are then those that are predicted as another class.
    boundary: float | None
    function: Callable[..., np.ndarray]
    judges_label: bool = True  # False: the same whatever the given label is


# The best single score first: suspects are ranked by the first one that a run has. Average
# precision on 10,000 CIFAR-10 images with 20 % planted mistakes / with the errors of people
# (human_aggregate): self-confidence 0.89 / 0.64, AUM 0.88 / 0.60, cartography 0.88 / 0.59.
SCORES: dict[str, Score] = {
    score.name: score
    for score in [
        Score(SUSPICION, "Suspicion", "How probable it is that the given label is wrong, by a "
              "model of how labels go wrong here.", "posterior", 0.1, suspicion),
        Score("self_confidence", "Self-confidence", "The trained model gives the given class "
              "little probability.", "logits", None, self_confidence),
        Score("aum", "AUM", "The given class stayed behind another one while the model learned.",
              "margin", 0.0, aum),
        Score("cartography", "Cartography", "The given class got little probability while the "
              "model learned.", "p_label", None, cartography),
        Score("out_aum", "AUM, out of sample", "The given class stayed behind another one, by a "
              "model that learned the others.", "out_margin", 0.0, aum),
        Score("out_cartography", "Cartography, out of sample", "The given class got little "
              "probability by a model that learned the others.", "out_p_label", None, cartography),
        Score("normalized_margin", "Normalized margin", "Another class is more probable than the "
              "given one.", "logits", 0.5, normalized_margin),
        Score("mistakenness", "Mistakenness", "The model is sure, and of another class.",
              "logits", 0.5, mistakenness),
        Score("confident_learning", "Confident learning", "Another class is as probable as where "
              "it is given, and the given one is not believed.", "all_logits", 0.5,
              confident_learning),
        Score("neighbours", "Neighbour disagreement", "The images that look most like it have "
              "another label.", "neighbours", None, neighbours),
        Score("hardness", "Hardness", "The model cannot decide, whatever the given label.",
              "logits", None, hardness, judges_label=False),
    ]
}  # fmt: skip


def default_score(available: list[str]) -> str | None:
    """The best single score among those that a run has."""
    return next((name for name in SCORES if name in available), None)


__all__ = ["SCORES", "Score", "default_score"]
