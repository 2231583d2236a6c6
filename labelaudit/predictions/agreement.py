"""Finds rows that were matched to the wrong samples: predictions must agree with the labels."""

from __future__ import annotations

import numpy as np

from ..core.errors import BadInputError
from ..dataset.arrays import MISSING
from ..scores.chance import LEAST_ROWS

Z = 3.0  # standard deviations that a difference from chance must exceed
SHIFT_Z = 4.0
LEAST_DIFFERENCE = 0.1  # of the agreement of a doubtful block and of the rest
LEAST_BLOCK = 60  # labelled rows of the smallest block
BLOCKS = 32  # smallest blocks of the table
DIVERSE = 0.8  # a block whose labels and predictions agree so often by chance tells nothing
WARN_KAPPA, REST_KAPPA = 0.15, 0.35  # of a block that is warned about, and of the other rows
HOW_TO_STATE_ORDER = "by='order', or --in-order on the command line"


def check_order(
    predicted: np.ndarray,
    given: np.ndarray,
    labels: np.ndarray,
    classes: int,
    what: str,
    by_id: bool = False,
) -> None:
    """Raise BadInputError if predictions agree with the labels no better than by chance, so that
    the rows are probably not those of the samples that they were matched to: in order, or by id.

    predicted, given: class indices, int (n,), of some samples. labels: those of the whole dataset,
    as rows may be sorted by class. MISSING for none. Too few labels prove nothing.
    """
    known, labels = (given != MISSING) & (predicted != MISSING), labels[labels != MISSING]
    count = int(known.sum())
    if count < LEAST_ROWS:
        return
    agreement = float(np.mean(predicted[known] == given[known]))
    shares = [np.bincount(c, minlength=classes) / len(c) for c in (predicted[known], labels)]
    chance = float(shares[0] @ shares[1])
    if max(share.max() for share in shares) == 1:  # of one class only: any order agrees as well
        return
    if agreement > chance + Z * (chance * (1 - chance) / count) ** 0.5:
        return
    if by_id:
        raise BadInputError(
            f"{what}: matched by id, its rows agree with {agreement:.0%} of the labels, no more "
            f"than by guessing ({chance:.0%}): are the ids those of this dataset, and the columns "
            "in the order of its classes? State that they are (by='id') to import them anyway."
        )
    raise BadInputError(
        f"{what} has no ids or file paths, and in the order of the samples its rows agree with "
        f"{agreement:.0%} of the labels, no more than by guessing ({chance:.0%}), as if its rows "
        "or columns were in another order: add a column id or filepath, or state that the rows are "
        f"in the order of the samples ({HOW_TO_STATE_ORDER})."
    )


def shifted(predicted: np.ndarray, at: np.ndarray, labels: np.ndarray) -> int:
    """Return 1 or -1 if the predictions fit the samples that many places further, else 0.

    predicted: class indices, int (n,). at: positions of their samples in `labels`, int (n,). Only
    rows whose neighbour has another label can tell.
    """
    for step in (1, -1):
        other = at + step
        inside = (other >= 0) & (other < len(labels))
        own, next_to = labels[at[inside]], labels[other[inside]]
        telling = (own != next_to) & (own != MISSING) & (next_to != MISSING)
        guess = predicted[inside][telling]
        fits = int((guess == own[telling]).sum()), int((guess == next_to[telling]).sum())
        if fits[1] - fits[0] > SHIFT_Z * sum(fits) ** 0.5:
            return step
    return 0


def disagreeing_rows(predicted: np.ndarray, given: np.ndarray, classes: int) -> str | None:
    """Return a sentence if some block of rows agrees with the labels no better than by chance, and
    the others do: they may be in another order. Rows in the order of the table, int (n,)."""
    known = np.flatnonzero((given != MISSING) & (predicted != MISSING))
    predicted, given = predicted[known], given[known]
    bad = np.zeros(len(known), bool)
    size = len(known) // 2
    while size >= max(LEAST_BLOCK, len(known) // BLOCKS):
        for start in range(0, len(known) - size + 1, max(size // 2, 1)):
            block = slice(start, start + size)
            kappa = _kappa(predicted[block], given[block], classes)
            if kappa is not None and kappa < WARN_KAPPA:
                bad[block] = True
        size //= 2
    if not bad.any() or bad.all():
        return None
    rest = _kappa(predicted[~bad], given[~bad], classes)
    if rest is None or rest < REST_KAPPA:
        return None
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False]))
    first, last = max(zip(edges[::2], edges[1::2], strict=True), key=lambda pair: pair[1] - pair[0])
    shares = [float(np.mean(predicted[rows] == given[rows])) for rows in (bad, ~bad)]
    if shares[0] > shares[1] - LEAST_DIFFERENCE:  # kappa is also low where nearly all are one class
        return None
    return (
        f"Rows {known[first] + 1:,} to {known[last - 1] + 1:,} agree with the labels much less "
        f"than the others ({shares[0]:.0%} and {shares[1]:.0%}): are they in another order?"
    )


def _kappa(predicted: np.ndarray, given: np.ndarray, classes: int) -> float | None:
    """Return Cohen's kappa (1960): 0 for the agreement of shuffled rows, 1 for equality. None if
    there are nearly only rows of one class."""
    if not len(given):
        return None
    shares = [np.bincount(codes, minlength=classes) / len(codes) for codes in (predicted, given)]
    if (shares[1] ** 2).sum() > DIVERSE:
        return None
    chance = float(shares[0] @ shares[1])
    return (float(np.mean(predicted == given)) - chance) / (1 - chance)


def nearest_classes(features: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the label of the most similar other row, int (n,), by cosine.

    features: float (n, D). given: class indices, int (n,).
    """
    centred = features - features.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(length, np.finfo(np.float32).tiny)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return given[similarity.argmax(axis=1)]
