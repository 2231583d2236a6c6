"""Injects label mistakes to rehearse an audit, and removes them again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..core.plural import counted
from ..storage import schema
from ..storage.schema import MISTAKE
from . import edits, history_log
from .arrays import MISSING
from .class_names import ClassNames
from .columns import Frame
from .dataset import Dataset
from .history_log import Cause
from .target import Target, as_dataset, opened

KINDS = ("uniform", "pair", "confusion")


@dataclass(frozen=True)
class NoiseReport:
    """What `inject_noise` did: it changed `changed` of `eligible` labels. Prints as a sentence."""

    kind: str
    rate: float
    seed: int
    eligible: int
    changed: int
    pair: tuple[str, str] | None = None

    def __str__(self) -> str:
        between = f" between {self.pair[0]} and {self.pair[1]}" if self.pair else ""
        return (
            f"{self.changed:,} of {counted(self.eligible, 'label')} made wrong "
            f"({self.kind} noise{between}, rate {self.rate:g}, seed {self.seed})"
        )


def inject(
    target: Target,
    rate: float,
    kind: str = "uniform",
    seed: int = 0,
    pair: tuple[str, str] | None = None,
    confusion: np.ndarray | None = None,
) -> NoiseReport:
    """Give exactly round(rate * n) samples of a dataset or view a wrong class.

    kind "uniform": any wrong class with equal probability. "pair": the next class or, with
    pair=("cat", "dog"), the other class of the pair. "confusion": row c of `confusion` (C, C)
    without its diagonal gives the relative frequencies of the wrong classes for class c. Classes
    that were merged into others take no part, and have no row.

    n is the number of samples that the kind can change: those with a label, for a pair only those
    of the two classes. Changed samples get the tag `mistake`, and their first label is preserved as
    `original_label`. Earlier noise in the dataset is removed first, so that the same seed always
    gives the same labels.

    Raises BadInputError, without any change, for a rate outside of 0 to 1, an unknown kind or
    class, a matrix of the wrong shape, or fewer than two classes.
    """
    target = opened(target)
    view = target.view() if isinstance(target, Dataset) else target
    frame = view.frame
    codes = _pair_codes(frame, pair, kind) if pair else None
    with frame.transaction():
        at = np.sort(view.positions())  # the result must not depend on the view's order
        before = labels_before_noise(frame)
        own, offered = before[at], _offered(frame)
        rank = np.full(len(frame.classes) + 1, MISSING)  # of each class; MISSING for no label
        rank[offered] = np.arange(len(offered))
        pair_ranks = codes and (int(rank[codes[0]]), int(rank[codes[1]]))
        chosen, new = corrupt(rank[own], len(offered), rate, kind, seed, pair_ranks, confusion)
        changed, new = at[chosen], offered[new]
        after, noisy = before.copy(), np.zeros(len(before), bool)
        after[changed], noisy[changed] = new, True
        undo = pa.table([frame.ids[changed], before[changed]], schema=schema.NOISE)
        eligible = int(_eligible(rank[own], pair_ranks).sum())
        report = NoiseReport(kind, float(rate), int(seed), eligible, len(changed), pair)
        _apply(frame, after, noisy, Cause(history_log.NOISE, info={"noise": asdict(report)}))
        frame.overwrite("noise", undo, schema.NOISE)
    return report


def restore(dataset: Target) -> int:
    """Remove injected noise and the tag `mistake`. Returns the number of samples that changed."""
    dataset = as_dataset(dataset, "restore_noise")
    frame = dataset.view().frame
    with frame.transaction():
        before = labels_before_noise(frame)
        cause = Cause(history_log.RESTORE, info={"noise": None})
        count = _apply(frame, before, np.zeros(len(frame.ids), bool), cause)
    return count


def still_wrong(dataset: Dataset) -> int:
    """Return the number of injected mistakes that still have another label than before."""
    frame = dataset.view().frame
    return int((frame.label != labels_before_noise(frame)).sum())


def corrupt(
    labels: np.ndarray,
    classes: int,
    rate: float,
    kind: str = "uniform",
    seed: int = 0,
    pair: tuple[int, int] | None = None,
    confusion: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose labels to change: returns indices (k,) into `labels`, and new classes (k,).

    labels: int (n,), negative for no label. k = round(rate * number of labels that the kind can
    change). See `inject`.
    """
    if not 0 <= rate <= 1:  # also catches NaN
        raise BadInputError(f"a noise rate of {rate} is not between 0 and 1.")
    if kind not in KINDS:
        raise BadInputError(f"{kind!r} is not a kind of noise: the kinds are {', '.join(KINDS)}.")
    if not isinstance(seed, Integral) or seed < 0:
        raise BadInputError(f"seed={seed!r}: it must be a whole number, 0 or more.")
    if confusion is not None and kind != "confusion":
        raise BadInputError(f"a confusion matrix was given, but the kind of noise is {kind!r}.")
    if classes < 2:
        raise BadInputError(
            f"label noise needs at least two classes; the dataset has {classes or 'none'}."
        )
    rng = np.random.default_rng(seed)
    if kind == "confusion":
        return _by_confusion(labels, _off_diagonal(confusion, classes), rate, rng)
    candidates = np.flatnonzero(_eligible(labels, pair))
    chosen = np.sort(rng.choice(candidates, round(rate * len(candidates)), replace=False))
    own = labels[chosen]
    if kind == "uniform":
        return chosen, ((own + rng.integers(1, classes, len(own))) % classes).astype(np.int32)
    if pair is None:
        return chosen, ((own + 1) % classes).astype(np.int32)
    return chosen, np.where(own == pair[0], pair[1], pair[0]).astype(np.int32)


def _by_confusion(
    labels: np.ndarray, weights: np.ndarray, rate: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw samples in proportion to the off-diagonal sum of their row, and classes by that row."""
    labelled = labels >= 0
    mass = np.where(labelled, weights.sum(axis=1)[labels], 0)
    count = round(rate * int(labelled.sum()))
    possible = int((mass > 0).sum())
    if count > possible:
        raise BadInputError(
            f"a rate of {rate} means {counted(count, 'mistake')}, but the confusion matrix allows "
            f"only {possible:,}: lower the rate, or fill more rows."
        )
    if count == 0:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    chosen = np.sort(rng.choice(len(labels), count, replace=False, p=mass / mass.sum()))
    rows = np.cumsum(weights, axis=1)[labels[chosen]]
    draws = rng.random(len(chosen)) * rows[:, -1]
    return chosen, (rows > draws[:, None]).argmax(axis=1).astype(np.int32)


def _off_diagonal(confusion: np.ndarray | None, classes: int) -> np.ndarray:
    if confusion is None:
        raise BadInputError("noise of kind 'confusion' needs a confusion matrix.")
    weights = np.array(confusion, dtype=np.float64)
    if weights.shape != (classes, classes):
        raise BadInputError(
            f"the confusion matrix has shape {weights.shape}: "
            f"for {classes} classes it must be ({classes}, {classes})."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise BadInputError("the confusion matrix has a negative or non-finite entry.")
    np.fill_diagonal(weights, 0)
    return weights


def _eligible(labels: np.ndarray, pair: tuple[int, int] | None) -> np.ndarray:
    return labels >= 0 if pair is None else np.isin(labels, pair)


def _offered(frame: Frame) -> np.ndarray:
    """Return the classes that were not merged into others, int32 (c,)."""
    hidden = set(ClassNames.read(frame).hidden)
    codes = [code for code, name in enumerate(frame.classes) if name not in hidden]
    return np.array(codes, np.int32)


def _pair_codes(frame: Frame, pair: tuple[str, str], kind: str) -> tuple[int, int]:
    classes = [frame.classes[code] for code in _offered(frame)]
    if kind != "pair":
        raise BadInputError(f"a class pair was given, but the kind of noise is {kind!r}.")
    unknown = next((name for name in pair if name not in classes), None)
    if unknown is not None or len(pair) != 2 or pair[0] == pair[1]:
        raise BadInputError(
            f"{' and '.join(map(repr, pair))} are not two different classes of this dataset: "
            f"its classes are {', '.join(classes[:20])}{' …' if len(classes) > 20 else ''}."
        )
    return frame.classes.index(pair[0]), frame.classes.index(pair[1])


def labels_before_noise(frame: Frame) -> np.ndarray:
    """Return class indices (n,) before noise; for other samples their present label."""
    noisy = frame.tagged(MISTAKE)
    known = frame.number("noise", "label", MISSING)
    return np.where(noisy & (known != MISSING), known, frame.label)


def _apply(frame: Frame, labels: np.ndarray, noisy: np.ndarray, cause: Cause) -> int:
    def edit(rows: edits.EditedRows) -> None:
        rows.set_label(labels)
        rows.set_tag(MISTAKE, noisy)

    return edits.change(frame, frame.ids, edit, cause)
