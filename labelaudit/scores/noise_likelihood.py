"""The likelihood of the given labels under the noise model, with its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .noise_model import LEAST, floored_softmax, sigmoid
from .noise_priors import BOUNDED, Parameters
from .probability import log_softmax

BLOCK = 1 << 14  # values per block, so that its temporary arrays stay in the processor cache
TINY = 1e-30


class Likelihood:
    """Minus the logarithms of the likelihood of the labels and of the priors, with its gradient.

    labels: int (n,), 0 to C - 1. sources: K logit arrays, float (n, D). out_of_sample: for each
    source, whether it was not trained on these labels. has_table, calibrated: see `Parameters`.
    classes: C, by default D. dtype: of the arithmetic over samples.
    """

    def __init__(
        self,
        labels: np.ndarray,
        sources: Sequence[np.ndarray],
        out_of_sample: Sequence[bool],
        has_table: bool,
        calibrated: bool = False,
        dtype: type = np.float32,
        classes: int | None = None,
    ) -> None:
        width = sources[0].shape[1]
        self.parameters = Parameters(
            width if classes is None else classes, out_of_sample, has_table, calibrated, width
        )
        self.samples = len(labels)
        self._number = dtype
        order = np.argsort(labels, kind="stable")  # samples of a label are neighbours
        labels = np.asarray(labels)[order]
        logs = [log_softmax(source)[order] for source in sources]
        rows = max(BLOCK // width, 1)
        self._blocks = [
            (
                labels[start : start + rows],
                np.stack([log[start : start + rows].T for log in logs]).astype(dtype),
            )
            for start in range(0, len(labels), rows)
        ]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and its gradient at this vector of parameters."""
        value, slope = self.parameters.penalty(x)
        per_sample, of_labels = self._evaluate(x)
        return value - float(per_sample.sum(dtype=np.float64)), slope - of_labels

    def per_sample(self, x: np.ndarray) -> np.ndarray:
        """Return log P(given label | image) of each sample, (n,), in the order of the labels."""
        return self._evaluate(x)[0]

    def _evaluate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = np.zeros_like(x)
        at, to = self.parameters.split(x), self.parameters.split(slope)
        at |= self.parameters.bounded(at)
        sharpness = self.parameters.sharpness(at)
        table = None
        if self.parameters.has_table:
            # divided by the largest of the row, which changes no share of it
            table = np.exp(at["pair"] - at["pair"].max(axis=1, keepdims=True))
            np.fill_diagonal(table, 0)
        logs = [self._add(*block, at, sharpness, table, to) for block in self._blocks]
        fitted = self.parameters.out_of_sample
        slope[self.parameters.at["sharpness"]] *= sharpness[fitted]  # its logarithm is fitted
        for name in BOUNDED:
            slope[self.parameters.at[name]] *= 1 - at[name] ** 2
        return np.concatenate(logs), slope

    def _add(
        self,
        labels: np.ndarray,
        logs: np.ndarray,
        at: Mapping[str, np.ndarray],
        sharpness: np.ndarray,
        table: np.ndarray | None,
        to: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return the log-likelihood of one block, and add its gradient to the parts of `to`.

        All arrays are (D, m) or (C, m): a row per class, a column per sample. Names: a is any
        class, g the given class. `of_x` is the gradient with respect to x.
        """
        number, columns, C = self._number, np.arange(len(labels)), self.parameters.classes
        mixed = np.tensordot(sharpness.astype(number), logs, 1)
        mixed[:C] += at["bias"].astype(number)[:, None]
        floor = float(sigmoid(at["floor"]))
        q, p = floored_softmax(mixed, floor)
        known = p[:C]
        rest = np.maximum(1 - known, number(LEAST))
        doubt = np.log(rest)
        wrong = doubt * number(at["ambiguity"])
        wrong += (at["overall"] + at["rate"]).astype(number)[:, None]
        chance = 1 / (1 + np.exp(-wrong))  # that the label is wrong if a is true
        log_known = np.log(known)
        like = log_known * number(at["likeness"])
        like += at["target"].astype(number)[:, None]
        like -= like.max(axis=0)  # changes no share of a column
        np.exp(like, out=like)
        weight = None if table is None else table.astype(number)
        every = like.sum(axis=0) - like if weight is None else weight @ like
        every += number(TINY)
        sum_of_like = like.sum(axis=0)
        # P(a and the given label)
        joint = np.empty_like(p)
        np.multiply(known, chance, out=joint[:C])
        joint[:C] /= every
        if weight is not None:
            joint[:C] *= weight[:, labels]
        np.divide(p[C:], sum_of_like, out=joint[C:])
        joint *= like[labels, columns]
        joint[labels, columns] = p[labels, columns] * (1 - chance[labels, columns])
        total = joint.sum(axis=0) + number(TINY)
        joint /= total  # P(a | image, given label)
        of_p = joint.copy()  # from here on: gradients of the sum of log(total)
        own = joint[labels, columns]
        of_wrong = joint[:C] * (1 - chance)
        of_wrong[labels, columns] = -own * chance[labels, columns]
        joint[labels, columns] = 0
        share = joint[:C] / every
        if table is None:
            of_like = share - share.sum(axis=0)
        else:
            starts = np.flatnonzero(np.diff(labels, prepend=-1))
            to["pair"][:, labels[starts]] += np.add.reduceat(joint[:C], starts, axis=1)
            to["pair"][...] -= table * (share @ like.T)
            of_like = -(weight.T @ share)
        if len(p) > C:
            of_like -= joint[C:].sum(axis=0) / sum_of_like
        of_like *= like
        of_like[labels, columns] += 1 - own
        to["target"][...] += of_like.sum(axis=1)
        to["likeness"][...] += np.vdot(of_like, log_known)
        of_like *= number(at["likeness"])
        of_p[:C] += of_like
        by_class = of_wrong.sum(axis=1)
        to["rate"][...] += by_class
        to["overall"][...] += by_class.sum()
        to["ambiguity"][...] += np.vdot(of_wrong, doubt)
        of_wrong *= known
        of_wrong /= rest
        of_wrong *= number(at["ambiguity"])
        of_p[:C] -= of_wrong
        # through the floor: d log p / d log q
        of_p /= p
        spread = of_p.sum(dtype=np.float64) / len(p) - np.vdot(of_p, q)
        to["floor"][...] += floor * (1 - floor) * spread
        of_p *= q
        of_p *= number(1 - floor)
        of_p -= q * of_p.sum(axis=0)
        to["bias"][...] += of_p[:C].sum(axis=1)
        fitted = np.flatnonzero(self.parameters.out_of_sample)
        to["sharpness"][...] += [np.vdot(of_p, logs[source]) for source in fitted]
        return np.log(total)
