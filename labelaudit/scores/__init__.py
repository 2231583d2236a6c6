"""Scores: pure formulas and their fits, with numpy and scipy only. Higher is more suspicious.

May import nothing else of LabelAudit but `core.plugins`.

To add a score, write one file with its formula and add one entry to `SCORES`. The app, the command
line and the reports take it from there. The class of the entry says what the score needs:

- `LogitScore`: the logits of one sample;
- `FittedScore`: all logits, to fit parameters first;
- `DynamicsScore`: margins or probabilities recorded during training;
- `NeighbourScore`: the labels of the most similar images;
- `AnnotatorScore`: the labels by several annotators.

Another package can register a score with an entry point in the group "labelaudit.scores", of the
same name as the score. Its pyproject.toml:

    [project.entry-points."labelaudit.scores"]
    least_likely = "my_package:LEAST_LIKELY"

and its code:

    from labelaudit.scores import LogitScore

    def least_likely(labels, softmax):  # int (n,), labelaudit.scores.softmax.Softmax
        return softmax.of_others(labels)

    LEAST_LIKELY = LogitScore(
        "least_likely", "Least likely", "The model gives the label little probability.",
        least_likely,
    )
"""

from __future__ import annotations

from .annotators import annotators
from .aum import aum
from .base import AnnotatorScore, DynamicsScore, FittedScore, LogitScore, NeighbourScore, Score
from .cartography import cartography
from .confident_learning import ConfidentLearning
from .hardness import hardness
from .mistakenness import mistakenness
from .neighbours import neighbours
from .normalized_margin import normalized_margin
from .outlier import FAR, OUTLIER, outlier
from .registry import Registry
from .self_confidence import self_confidence
from .suspicion import BOUNDARY, SUSPICION, Suspicion

# The best score first: suspects are ranked by the first one that a run has. Average precision on
# 10,000 CIFAR-10 images with 20 % planted mistakes, and with human errors (human_aggregate):
# self-confidence 0.89 and 0.64, AUM 0.88 and 0.60, cartography 0.88 and 0.59.
SCORES = Registry(
    [
        FittedScore(
            SUSPICION,
            "Suspicion",
            "The probability that the label is wrong, by a model of the labelling errors here.",
            Suspicion,
            boundary=BOUNDARY,
        ),
        AnnotatorScore(
            "annotators",
            "Annotators",
            "The labels by several annotators, and a model, favour another class.",
            annotators,
            boundary=0.5,
        ),
        LogitScore(
            "self_confidence",
            "Self-confidence",
            "The trained model gives the label a low probability.",
            self_confidence,
        ),
        DynamicsScore(
            "aum",
            "AUM",
            "During training, another class had a higher logit than the label.",
            aum,
            boundary=0.0,
            measure="margin",
        ),
        DynamicsScore(
            "cartography",
            "Cartography",
            "During training, the label had a low probability.",
            cartography,
            measure="p_label",
        ),
        DynamicsScore(
            "out_aum",
            "AUM, out of sample",
            "Another class had a higher logit in models that were not trained on the image.",
            aum,
            boundary=0.0,
            measure="out_margin",
        ),
        DynamicsScore(
            "out_cartography",
            "Cartography, out of sample",
            "The label had a low probability in models that were not trained on the image.",
            cartography,
            measure="out_p_label",
        ),
        LogitScore(
            "normalized_margin",
            "Normalized margin",
            "Another class is more probable than the label.",
            normalized_margin,
            boundary=0.5,
        ),
        LogitScore(
            "mistakenness",
            "Mistakenness",
            "The model confidently predicts another class.",
            mistakenness,
            boundary=0.5,
        ),
        FittedScore(
            "confident_learning",
            "Confident learning",
            "Another class is as probable as it usually is for its own images, and the label is "
            "improbable.",
            ConfidentLearning,
            boundary=0.5,
        ),
        NeighbourScore(
            "neighbours",
            "Neighbour disagreement",
            "The most similar images have another label.",
            neighbours,
        ),
        LogitScore(
            "hardness",
            "Hardness",
            "The model is uncertain, whatever the label is.",
            hardness,
            judges_label=False,
        ),
        NeighbourScore(
            OUTLIER,
            "Outlier",
            "The image is unlike all others, whatever its label is.",
            outlier,
            boundary=FAR,
            judges_label=False,
            by_distance=True,
        ),
    ]
)


def default_score(available: list[str]) -> str | None:
    """Return the best score among those that a run has, None if there is none."""
    return next((name for name in SCORES if name in available), None)


__all__ = [
    "SCORES",
    "AnnotatorScore",
    "DynamicsScore",
    "FittedScore",
    "LogitScore",
    "NeighbourScore",
    "Score",
    "default_score",
]
