"""Converts imported numbers, logits or probabilities, to logits of the dataset's classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import BadInputError
from ..scores.chance import no_better_than_chance
from ..scores.probability import log_softmax
from .classes import HOW_TO_NAME_CLASSES, Columns, shown

LOGITS, PROBABILITIES = KINDS = ("logits", "probabilities")
# Largest difference of a row's sum from 1. It allows for a thousand probabilities in half precision
# or with three digits.
TOLERANCE = 0.01
HOW_TO_STATE_LOGITS = "kind='logits' in Python, --kind logits on the command line"
FLOOR = 1e-12  # of a probability, as 0 has no logarithm; 1 - FLOOR still differs from 1


def check_kind(kind: str | None) -> None:
    """Raise LabelAuditError unless `kind` is None or one of KINDS."""
    if kind not in (None, *KINDS):
        raise BadInputError(f"kind={kind!r}: use logits or probabilities.")


def detect_kind(values: np.ndarray) -> str:
    """Return the kind of rows, float (n, K): probabilities if all numbers are 0 to 1, else logits.

    Whether each row sums to 1 is checked later, so that a row that does not is an error.
    Percentages count as probabilities too, so that their sums are refused.
    """
    if len(values) and (values >= 0).all() and values.shape[1] > 1:
        sums = values.sum(axis=1, dtype=np.float64)
        percent = (abs(sums - 100) <= 100 * TOLERANCE).all()
        return PROBABILITIES if values.max() <= 1 + TOLERANCE or percent else LOGITS
    return LOGITS


def sum_to_one(values: np.ndarray) -> bool:
    """Whether all rows, float (n, K), are probabilities that sum to 1."""
    sums = values.sum(axis=1, dtype=np.float64)
    return bool((values >= 0).all() and (abs(sums - 1) <= TOLERANCE).all())


def doubt(predicted: np.ndarray, given: np.ndarray, labels: np.ndarray, classes: int) -> str | None:
    """Return a sentence if predictions may be in another order; see `no_better_than_chance`."""
    found = no_better_than_chance(predicted, given, labels, classes)
    return found and (
        f"The model agrees with {found[0]:.0%} of the labels, and guessing would with "
        f"{found[1]:.0%}: are the columns, or the rows, in another order?"
    )


class LogitConverter:
    """Converts batches of rows to logits of the dataset's classes and of those that only the model
    knows, float32 (n, D), and checks them.

    If the kind is not given, the first batch decides; a later row that does not fit is an error.
    Probabilities p become log(max(p, FLOOR)), so that their softmax is p. A class without a column
    gets the probability FLOOR.
    """

    def __init__(
        self, columns: Columns, kind: str | None, what: str, unused: Sequence[str] = ()
    ) -> None:
        """what: name of the source, for errors. unused: its columns that are not read."""
        check_kind(kind)
        self.columns, self.kind, self.what, self.unused = columns, kind, what, unused
        self.kind_given = kind is not None
        self.rows = 0  # converted so far

    def __call__(self, values: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Convert the next rows, float (n, K). ids: int (n,), of their samples.

        Raises LabelAuditError for a number that is not finite and an invalid row of probabilities.
        """
        self._check_finite(values, ids)
        self.kind = self.kind or detect_kind(values)
        if self.kind == PROBABILITIES:
            self._check_sums(values, ids)
            values = np.log(np.maximum(values.astype(np.float64, copy=False), FLOOR))
        self.rows += len(values)
        return self._to_classes(values)

    def _to_classes(self, values: np.ndarray) -> np.ndarray:
        if self.columns.is_identity:
            return np.ascontiguousarray(values, np.float32)
        known = values[:, self.columns.source]
        out = np.empty((len(values), self.columns.classes), np.float32)
        if self.columns.missing:
            total = known[:, 0] - log_softmax(known)[:, 0]
            out[:] = (total + np.log(FLOOR))[:, None]
        out[:, self.columns.target] = known
        return out

    def _check_finite(self, values: np.ndarray, ids: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise BadInputError(
                f"{self._row(row, ids)}: the number in column {column + 1} is "
                f"{_plain(values[row, column])}, and must be finite. Nothing was stored."
            )

    def _check_sums(self, values: np.ndarray, ids: np.ndarray) -> None:
        below = (values < 0).any(axis=1)
        sums = values.sum(axis=1, dtype=np.float64)
        bad = below | (abs(sums - 1) > TOLERANCE)
        if not bad.any():
            return
        row = int(np.flatnonzero(bad)[0])
        if below[row]:
            problem = f"contains {_plain(values[row].min())}, which is not a probability"
        else:
            problem = f"sums to {_plain(sums[row])}, but the probabilities of a row must sum to 1"
        detected = "" if self.kind_given else " (its numbers look like probabilities)"
        hint = "correct the row"
        if self.unused:
            hint = (
                f"if classes were not read ({shown(self.unused)}), name all of them "
                f"({HOW_TO_NAME_CLASSES})"
            )
        raise BadInputError(
            f"{self._row(row, ids)} {problem}{detected}: {hint}, or state that these are logits "
            f"({HOW_TO_STATE_LOGITS}). Nothing was stored."
        )

    def _row(self, row: int, ids: np.ndarray) -> str:
        return f"{self.what}, row {self.rows + row + 1:,} (id {ids[row]})"


def _plain(value) -> str:
    return f"{float(value):.4g}"
