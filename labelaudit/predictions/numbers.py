"""Logits or probabilities? Somebody else's numbers, checked, as logits of the dataset's classes."""

from __future__ import annotations

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.arrays import MISSING
from ..scores.probability import log_softmax
from .classes import Columns

LOGITS, PROBABILITIES = KINDS = ("logits", "probabilities")
# Of a row's sum from 1. Thousand probabilities in half precision, or in three digits, are within.
TOLERANCE = 0.01
FLOOR = 1e-12  # of a probability, as 0 has no logarithm; 1 - p can still tell it from 0

FEWEST_ROWS = 20  # that tell whether a model fits the labels
LEAST_KAPPA = 0.1  # of its agreement with them; Landis and Koch (1977) call up to 0.2 slight


def check_kind(kind: str | None) -> None:
    if kind not in (None, *KINDS):
        raise LabelAuditError(f"kind={kind!r}: say logits or probabilities.")


def tell_kind(values: np.ndarray) -> str:
    """What rows, float (n, K), look like: probabilities where all numbers are 0 to 1, else logits.

    Whether each row sums to 1 is checked later, row by row: one that does not is an error.
    Percentages count as probabilities too, so that their sums are refused.
    """
    if len(values) and (values >= 0).all() and values.shape[1] > 1:
        sums = values.sum(axis=1, dtype=np.float64)
        percent = (abs(sums - 100) <= 100 * TOLERANCE).all()
        return PROBABILITIES if values.max() <= 1 + TOLERANCE or percent else LOGITS
    return LOGITS


def no_better_than_chance(
    predicted: np.ndarray, given: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[float, float] | None:
    """Share of the labels that a model agrees with, and share that chance would, where the one is
    hardly more than the other; else None.

    predicted, given: int codes (n,) of some rows. labels: those of the whole dataset, of which
    chance is made: rows may come class by class. MISSING is none. By Cohen's kappa (1960).
    """
    known, labels = (given != MISSING) & (predicted != MISSING), labels[labels != MISSING]
    if known.sum() < FEWEST_ROWS:
        return None
    predicted, given = predicted[known], given[known]
    agree = float(np.mean(predicted == given))
    shares = [np.bincount(codes, minlength=classes) / len(codes) for codes in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    if agree > 0.5 or agree - chance >= LEAST_KAPPA * (1 - chance):
        return None
    return agree, chance


def doubt(predicted: np.ndarray, given: np.ndarray, labels: np.ndarray, classes: int) -> str | None:
    """A sentence where predictions may have come in another order; see `no_better_than_chance`."""
    found = no_better_than_chance(predicted, given, labels, classes)
    return found and (
        f"It agrees with {found[0]:.0%} of the labels, and guessing would with {found[1]:.0%}: are "
        "the columns, or the rows, in another order?"
    )


class Logits:
    """Turns batches of rows into logits of the dataset's classes, float32 (n, C), checking each.

    The kind is told by the first batch, where it is not given; a later row that does not fit it is
    an error. Probabilities p become log(max(p, FLOOR)): their softmax is p. A class without a
    column gets the probability FLOOR.
    """

    def __init__(self, columns: Columns, kind: str | None, what: str, unused: bool = False) -> None:
        """what: whose rows they are, for errors. unused: whether it has further numbers."""
        check_kind(kind)
        self.columns, self.kind, self.what, self.unused = columns, kind, what, unused
        self.told = kind is not None
        self.seen = 0

    def __call__(self, values: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """values: float (n, K), the next rows. ids: int (n,), of their samples."""
        self._check_finite(values, ids)
        self.kind = self.kind or tell_kind(values)
        if self.kind == PROBABILITIES:
            self._check_sums(values, ids)
            values = np.log(np.maximum(values.astype(np.float64, copy=False), FLOOR))
        self.seen += len(values)
        return self._arranged(values)

    def _arranged(self, values: np.ndarray) -> np.ndarray:
        if self.columns.as_they_are:
            return np.ascontiguousarray(values, np.float32)
        kept = values[:, self.columns.source]
        out = np.empty((len(values), self.columns.classes), np.float32)
        if self.columns.missing:
            total = kept[:, 0] - log_softmax(kept)[:, 0]
            out[:] = (total + np.log(FLOOR))[:, None]
        out[:, self.columns.target] = kept
        return out

    def _check_finite(self, values: np.ndarray, ids: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise LabelAuditError(
                f"{self._row(row, ids)}: the number in column {column + 1} is "
                f"{_plain(values[row, column])}, and must be finite: nothing was stored."
            )

    def _check_sums(self, values: np.ndarray, ids: np.ndarray) -> None:
        below = (values < 0).any(axis=1)
        sums = values.sum(axis=1, dtype=np.float64)
        bad = below | (abs(sums - 1) > TOLERANCE)
        if not bad.any():
            return
        row = int(np.flatnonzero(bad)[0])
        what = (
            f"holds {_plain(values[row].min())}, which is no probability" if below[row] else
            f"sums to {_plain(sums[row])}, and the probabilities of a row must sum to 1"
        )  # fmt: skip
        looks = "" if self.told else " (its numbers look like probabilities)"
        hint = "name all its classes (classes=)" if self.unused else "mend the row"
        raise LabelAuditError(
            f"{self._row(row, ids)} {what}{looks}: {hint}, or say that they are logits "
            "(kind='logits') if they are scores of another kind; nothing was stored."
        )

    def _row(self, row: int, ids: np.ndarray) -> str:
        return f"{self.what}, row {self.seen + row + 1:,} (id {ids[row]})"


def _plain(value) -> str:
    return f"{float(value):.4g}"
