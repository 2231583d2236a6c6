"""Kernel ridge regression with leave-one-out predictions: each ignores the sample's own label.

The regression needs sums over samples only, so it learns from any number of them in one pass over
blocks. A second pass predicts each block without the labels that it brought in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from .probability import log_softmax, of_label

# The kernel is exp(-WIDTH |a - b|^2) between unit vectors. 0.25 and 1 are as good on digits; on
# photographs their average precision is 0.005 lower.
WIDTH = 0.5
STRENGTHS = tuple(np.geomspace(0.03, 10, 8).tolist())  # of the ridge penalty; k(a, a) is 1
TEMPERATURES = np.geomspace(0.5, 100, 60)
LANDMARKS = 2_500
JITTER = 1e-4  # added to the diagonal: identical landmarks would make the kernel singular
BLOCK_BYTES = 64 << 20
MOST_LEVERAGE = 0.99  # beyond it the prediction would be dominated by rounding errors
NOT_LEARNED = -1  # as label: this sample was not learned from


@dataclass(frozen=True)
class Fit:
    """A kernel ridge regression on the classes, and its predictions for the samples given.

    logits: float32 (n, C), leave-one-out; they are the regression values times the temperature.
    """

    logits: np.ndarray
    strength: float
    temperature: float
    _directions: _Directions
    _regression: _Regression

    def predict(
        self,
        features: np.ndarray,
        labels: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return logits, float32 (m, C).

        features: float (m, d). labels: int (m,), of samples that were learned from, which are
        predicted without their label; NOT_LEARNED, or None for all, if they were not. groups: see
        `leave_one_out`; all samples of a group that were learned from must be among these.
        """
        x = self._directions.of(features)
        if labels is None:
            labels = np.full(len(features), NOT_LEARNED)
        values = self._regression.without_own(x, labels, _Groups.of(groups, labels))
        return values * np.float32(self.temperature)

    @property
    def landmarks(self) -> np.ndarray:
        """Rows of the samples given that the kernel is computed with, sorted, int64 (L,)."""
        return self._directions.rows

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all that `predict_others` needs beside the landmarks: coefficients, float32
        (L, C), and base, float32 (C,)."""
        product = self._directions.matrix.astype(np.float64) @ self._regression.weights
        coefficients, base = product * self.temperature, self._regression.base * self.temperature
        return coefficients.astype(np.float32), base.astype(np.float32)


def predict_others(
    features: np.ndarray, landmarks: np.ndarray, coefficients: np.ndarray, base: np.ndarray
) -> np.ndarray:
    """Return what `Fit.predict` returns for samples that were not learned from.

    features: float (m, d). landmarks: float (L, d), the features of `Fit.landmarks`.
    """
    return _kernel(features, _unit(landmarks)) @ coefficients + base


def leave_one_out(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    groups: np.ndarray | None = None,
    more: Sums | None = None,
    *,
    landmarks: int = LANDMARKS,
    seed: int = 0,
) -> Fit:
    """Predict each sample from all others, by ridge regression on one-hot labels.

    features: float (n, d); only the direction of a row matters. labels: int (n,), 0 to classes - 1.
    groups: int (n,), equal for copies of one image. Copies with the same label are left out
    together, because they would vouch for it; a copy with another label is evidence. more: for
    further samples to learn from, a function that yields `sums_of(features, labels)` of blocks of
    them, in this process or another; `Fit.predict` predicts them. With them, the samples given here
    must be a random choice of all.
    With more than `landmarks` samples the kernel is approximated with a random choice of so many
    (Nyström), so that time grows with all samples times landmarks^2, and memory with n * landmarks.
    The predictions without the samples that are left out together are exact:
    (I - H)^-1 (F - H Y), where F are their fitted values, Y their one-hot labels, and H their part
    of the hat matrix of the kernel or its approximation. The strength has the lowest squared error
    of these predictions for the samples given, among STRENGTHS, the temperature the lowest log
    loss.
    Raises ValueError for labels outside 0 to classes - 1 and for features that are not finite.
    Source: Rasmussen & Williams 2006, 5.4.2 and 8.1.
    """
    _check(features, labels, classes)
    directions, x, eigenvalues, sums = _learn(features, labels, classes, more, landmarks, seed)
    left_out, targets = _Groups.of(groups, labels), _one_hot(labels, classes)
    errors, tried = [], []
    for strength in STRENGTHS:
        regression = _Regression.solve(sums, eigenvalues, strength)
        values = regression.without_own(x, labels, left_out)
        errors.append(float(np.square(targets - values).mean()))
        tried.append(regression)
    best = int(np.argmin(errors))
    values = tried[best].without_own(x, labels, left_out)
    temperature = _temperature(values, labels)
    logits = (values * np.float32(temperature)).astype(np.float32)
    return Fit(logits, STRENGTHS[best], temperature, directions, tried[best])


@dataclass(frozen=True)
class _Directions:
    """Numbers whose products approximate the kernel: x(a) . x(b) = k(a, b).

    rows: int64 (L,), of the landmarks. landmarks: float32 (L, d). matrix: float32 (L, L), from
    kernel values to these numbers.
    """

    rows: np.ndarray
    landmarks: np.ndarray
    matrix: np.ndarray

    def of(self, features: np.ndarray) -> np.ndarray:
        """Return the numbers of samples, float32 (m, L)."""
        x = np.empty((len(features), len(self.landmarks)), np.float32)
        for block in _blocks(*x.shape):
            np.matmul(_kernel(features[block], self.landmarks), self.matrix, out=x[block])
        return x


@dataclass
class BlockSums:
    """Sums over all samples that were learned from, in float64.

    outer: of x x^T, (L, L). by_class: of x, for each class, (L, C). counts: of samples, (C,).
    """

    outer: np.ndarray
    by_class: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, width: int, classes: int) -> BlockSums:
        return cls(np.zeros((width, width)), np.zeros((width, classes)), np.zeros(classes))

    def add(self, x: np.ndarray, labels: np.ndarray) -> None:
        """Add samples: x, float32 (m, L), and labels, int (m,)."""
        for block in _blocks(*x.shape):
            some = x[block]
            self.outer += some.T @ some
            self.by_class += some.T @ _one_hot(labels[block], len(self.counts))
        self.counts += np.bincount(labels, minlength=len(self.counts))

    def __iadd__(self, other: BlockSums) -> BlockSums:
        self.outer += other.outer
        self.by_class += other.by_class
        self.counts += other.counts
        return self

    def turned(self, vectors: np.ndarray) -> BlockSums:
        """Return the sums of vectors^T x; vectors: (L, L), the eigenvectors of `outer`."""
        return BlockSums(np.empty(0), vectors.T @ self.by_class, self.counts)


SumsOf = Callable[[np.ndarray, np.ndarray], BlockSums]
Sums = Callable[[SumsOf], Iterable[BlockSums]]


def sums_of(
    directions: _Directions, classes: int, features: np.ndarray, labels: np.ndarray
) -> BlockSums:
    """Return the sums of a block of samples: features, float (m, d), and labels, int (m,)."""
    sums = BlockSums.empty(len(directions.landmarks), classes)
    sums.add(directions.of(features), labels)
    return sums


def _learn(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    more: Sums | None,
    landmarks: int,
    seed: int,
) -> tuple[_Directions, np.ndarray, np.ndarray, BlockSums]:
    """Return the principal directions of all samples in the kernel, the samples given in them,
    float32 (n, L), the eigenvalues, (L,), and the sums in these directions. In principal
    directions, all strengths are cheap."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:landmarks])
    marks = _unit(features[chosen])
    kernel = _kernel(marks, marks)
    kernel[np.diag_indices(len(kernel))] += JITTER
    if more is None and len(features) <= landmarks:  # the directions of the kernel itself
        eigenvalues, vectors = np.linalg.eigh(kernel)
        roots = np.sqrt(np.maximum(eigenvalues, JITTER))
        x = vectors * roots
        counts = np.bincount(labels, minlength=classes)
        sums = BlockSums(np.empty(0), x.T @ _one_hot(labels, classes), counts)
        return _Directions(chosen, marks, vectors / roots), x, np.square(roots), sums
    first = _Directions(chosen, marks, np.linalg.inv(np.linalg.cholesky(kernel)).T)
    x = first.of(features)
    sums = BlockSums.empty(len(marks), classes)
    sums.add(x, labels)
    if more is not None:
        for some in more(partial(sums_of, first, classes)):
            sums += some
    eigenvalues, vectors = np.linalg.eigh(sums.outer.astype(np.float32))
    for block in _blocks(*x.shape):
        x[block] = x[block] @ vectors
    directions = _Directions(chosen, marks, first.matrix @ vectors)
    return directions, x, np.maximum(eigenvalues, 0), sums.turned(vectors)


@dataclass(frozen=True)
class _Regression:
    """weights: float32 (L, C), from principal directions to values. shrink: float32 (L,), of the
    hat matrix x diag(shrink) x^T. base: float32 (C,), the share of each class, added to values."""

    weights: np.ndarray
    shrink: np.ndarray
    base: np.ndarray

    @classmethod
    def solve(cls, sums: BlockSums, eigenvalues: np.ndarray, strength: float) -> _Regression:
        """Fit it to sums in principal directions."""
        base = sums.counts / sums.counts.sum()
        targets = sums.by_class - sums.by_class.sum(axis=1, keepdims=True) * base
        shrink = 1 / (eigenvalues + strength)
        return cls(
            (shrink[:, None] * targets).astype(np.float32),
            shrink.astype(np.float32),
            base.astype(np.float32),
        )

    def without_own(self, x: np.ndarray, labels: np.ndarray, groups: _Groups) -> np.ndarray:
        """Return values, float32 (m, C), of samples without their own labels and those of copies
        with the same label."""
        targets = _one_hot(labels, len(self.base)) - self.base
        fitted = x @ self.weights
        leverage = np.empty((len(x), 1), np.float32)
        for block in _blocks(*x.shape):
            leverage[block, 0] = np.square(x[block]) @ self.shrink
        leverage[labels == NOT_LEARNED] = 0
        leverage = np.minimum(leverage, MOST_LEVERAGE)
        values = (fitted - leverage * targets) / (1 - leverage)
        for rows in groups.of_equal_size(x.shape[1]):
            values[rows] = self._without_group(x[rows], targets[rows], fitted[rows])
        return values + self.base

    def _without_group(self, x: np.ndarray, targets: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """Return values, (k, g, C), of k groups of g samples, each without the group's labels."""
        scaled = x * np.sqrt(self.shrink)
        if x.shape[1] <= x.shape[2]:
            leverage, u = np.linalg.eigh(scaled @ scaled.swapaxes(1, 2))
        else:
            u, size, _ = np.linalg.svd(scaled, full_matrices=False)
            leverage = np.square(size)
        leverage = np.clip(leverage, 0, MOST_LEVERAGE)[:, :, None]
        back = u.swapaxes(1, 2)
        return u @ ((back @ fitted - leverage * (back @ targets)) / (1 - leverage))


@dataclass(frozen=True)
class _Groups:
    """Copies with the same label, two or more each: for each number g, their rows, int (k, g)."""

    rows: list[np.ndarray]

    @classmethod
    def of(cls, groups: np.ndarray | None, labels: np.ndarray) -> _Groups:
        """groups: int (n,), equal for copies of one image. labels: int (n,); samples that were
        NOT_LEARNED are in no group."""
        if groups is None:
            return cls([])
        learned = np.flatnonzero(labels != NOT_LEARNED)
        _, index = np.unique(groups[learned], return_inverse=True)
        index = index * (labels.max(initial=0) + 1) + labels[learned]
        _, index, counts = np.unique(index, return_inverse=True, return_counts=True)
        order = learned[np.argsort(index, kind="stable")]
        starts = np.cumsum(counts) - counts
        sizes = np.unique(counts[counts > 1])
        return cls([order[starts[counts == g][:, None] + np.arange(g)] for g in sizes])

    def of_equal_size(self, width: int) -> Iterator[np.ndarray]:
        """Yield the rows of some groups of one size, int (k, g), a block of numbers at a time."""
        for rows in self.rows:
            for block in _blocks(len(rows), rows.shape[1] * width):
                yield rows[block]


def _temperature(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor that turns regression values into logits with the lowest log loss."""
    some = slice(None, None, max(len(values) // 10_000, 1))
    loss = [-of_label(log_softmax(values[some] * t), labels[some]).mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(loss))])


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return float32 (n, C); zeros for NOT_LEARNED."""
    return (labels[:, None] == np.arange(classes)).astype(np.float32)


def _kernel(features: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return exp(-WIDTH |a - b|^2) of each row's direction and each landmark, float32 (n, m)."""
    kernel = _unit(features) @ landmarks.T
    kernel -= 1
    kernel *= 2 * WIDTH
    return np.exp(np.minimum(kernel, 0, out=kernel), out=kernel)


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float32, copy=False)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _blocks(rows: int, width: int):
    step = max(BLOCK_BYTES // (4 * max(width, 1)), 1)
    return (slice(start, start + step) for start in range(0, rows, step))


def _check(features: np.ndarray, labels: np.ndarray, classes: int) -> None:
    if len(features) != len(labels) or len(features) < 2:
        raise ValueError(
            f"{len(features)} features and {len(labels)} labels: their numbers must be equal and "
            "at least two."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}: they must be between 0 and "
            f"{classes - 1}."
        )
    if not np.isfinite(features).all():
        raise ValueError("some features are not finite: leave out those samples.")
