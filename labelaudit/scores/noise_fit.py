"""Fits the noise model by maximum a posteriori with L-BFGS and hand-written gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .noise_likelihood import Likelihood
from .noise_model import NoiseModel, as_sources

MOST_ROWS = 20_000  # the model is fitted to at most so many samples
MOST_VALUES = 2_000_000  # and to at most so many logits of each source
STEPS = 100  # of L-BFGS
CORRECTIONS = 20  # L-BFGS keeps so many past gradients
PAIR_CLASSES = 100  # with more classes, a table of class pairs has too many cells for the data
PAIR_VALUES = 500_000  # logits that a table is fitted to, at most
LEAST_SAMPLES = 50  # fewer say nothing about a table
HELD_OUT_SAMPLES = 10_000  # that the scale of the table's prior is chosen with
TABLE_SCALES = (0.5, 2.2)  # tried, besides no table
STANDARD_ERRORS = 2.0  # a wider table must be better than that
LEAST_GAIN = 2.0  # nats of all held-out samples together
# A table also explains the confusions of a weak predictor. Errors between pairs of classes gain
# 0.15 nats per sample and more (20 % of the labels), those of people on CIFAR-10 at most 0.023.
LEAST_GAIN_CALIBRATED = 0.03  # nats per sample
MOST_SAMPLE_GAIN = 5.0  # nats of one sample that count: a few samples must not decide
DISTINCT = 0.1  # least difference of two solutions
# The likelihood has two kinds of optimum: errors are independent of the image, or they follow the
# doubt about it. Both are tried.
STARTS = ({}, {"overall": 2.0, "ambiguity": 0.6, "likeness": 0.6, "sharpness": 0.5})
TEMPERATURES = np.geomspace(0.02, 50, 41)
TEMPERATURE_SAMPLES = 2_000
OUTLIERS = (0.003, 0.03, 0.1, 0.2, 0.4)  # shares of labels that may be anything, tried with each


def fit_noise_model(
    labels: np.ndarray,
    sources: np.ndarray | Sequence[np.ndarray],
    out_of_sample: bool | Sequence[bool],
    calibrated: bool = False,
) -> NoiseModel:
    """Fit the model to labels, int (n,), and to logits, float (n, C), of one or several sources.

    All samples have a label. out_of_sample: for each source, whether it was not trained on these
    labels. If it was, its sharpness is not fitted. calibrated: whether a source was fitted to these
    labels by cross-fitting, as a first look is. Pass at most `most_rows(C)` samples.
    The scale of the table of class pairs is that with the best two-fold held-out likelihood; of
    scales within STANDARD_ERRORS of it, the narrowest. So no table is used unless the data ask for
    one.
    """
    from threadpoolctl import threadpool_limits

    sources = as_sources(sources)
    if isinstance(out_of_sample, bool | np.bool_):
        out_of_sample = [bool(out_of_sample)] * len(sources)
    # The matrix products are small: two BLAS threads that wait for each other take ten times as
    # long. Overflow is harmless, because the line search rejects such a step.
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        return _fit(np.asarray(labels), list(sources), list(out_of_sample), calibrated)


def most_rows(classes: int) -> int:
    """Return how many samples are enough to fit the model."""
    return max(min(MOST_ROWS, MOST_VALUES // classes), 1)


def _fit(
    labels: np.ndarray, sources: list[np.ndarray], out_of_sample: list[bool], calibrated: bool
) -> NoiseModel:
    scale = [
        usual_scale(labels, logits) if fitted else 1.0
        for logits, fitted in zip(sources, out_of_sample, strict=True)
    ]
    sources = [z * np.float32(t) for z, t in zip(sources, scale, strict=True)]
    classes = sources[0].shape[1]
    choice = _Choice(0.0, None)
    if 2 < classes <= PAIR_CLASSES and len(labels) >= LEAST_SAMPLES:
        choice = _choose_table(labels, sources, out_of_sample, calibrated)
    if choice.table_scale and len(labels) > PAIR_VALUES // classes:
        some = np.random.default_rng(1).permutation(len(labels))[: PAIR_VALUES // classes]
        labels, sources = labels[some], [source[some] for source in sources]
    has_table = choice.table_scale > 0
    likelihood = Likelihood(labels, sources, out_of_sample, has_table, calibrated)
    start = likelihood.parameters.start() if choice.start is None else choice.start
    return likelihood.parameters.model(_minimise(likelihood, start, choice.table_scale), scale)


@dataclass(frozen=True)
class _Choice:
    """A scale of the table's prior (0: no table), and the vector to start from."""

    table_scale: float
    start: np.ndarray | None


@dataclass(frozen=True)
class _Trial:
    table_scale: float
    held_out: np.ndarray  # log-likelihood of each held-out sample
    x: np.ndarray  # parameters of the first half
    value: float  # log-likelihood of all held-out samples and priors together


def _choose_table(
    labels: np.ndarray, sources: list[np.ndarray], out_of_sample: list[bool], calibrated: bool
) -> _Choice:
    """Choose the scale by two-fold held-out likelihood."""
    most = min(HELD_OUT_SAMPLES, PAIR_VALUES // 2 // sources[0].shape[1])
    order = np.random.default_rng(0).permutation(len(labels))[:most]
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    trials = _trials(labels, sources, out_of_sample, calibrated, halves)
    best = max(trials, key=lambda trial: trial.held_out.mean()).held_out
    good = []
    for trial in trials:
        loss = np.clip(best - trial.held_out, -MOST_SAMPLE_GAIN, MOST_SAMPLE_GAIN)
        error = STANDARD_ERRORS * loss.std() / np.sqrt(len(loss))
        allowed = max(error, LEAST_GAIN / len(loss))
        if calibrated and not trial.table_scale:
            allowed = max(allowed, LEAST_GAIN_CALIBRATED)
        if loss.mean() <= allowed:
            good.append(trial)
    # of equally good explanations the narrowest table, and of those the most probable a priori
    chosen = min(good, key=lambda trial: (trial.table_scale, -trial.value))
    return _Choice(chosen.table_scale, chosen.x)


def _trials(
    labels: np.ndarray,
    sources: list[np.ndarray],
    out_of_sample: list[bool],
    calibrated: bool,
    halves: tuple[np.ndarray, np.ndarray],
) -> list[_Trial]:
    plain, tables = (
        [
            Likelihood(labels[half], [z[half] for z in sources], out_of_sample, table, calibrated)
            for half in halves
        ]
        for table in (False, True)
    )
    trials: list[_Trial] = []

    def add(scale: float, parts: list[Likelihood], xs: list[np.ndarray]) -> None:
        held_out = np.concatenate([parts[1 - i].per_sample(xs[i]) for i in (0, 1)])
        if np.isfinite(held_out).all():
            priors = [part.parameters.penalty(x)[0] for part, x in zip(parts, xs, strict=True)]
            value = float(held_out.sum(dtype=np.float64)) - float(np.mean(priors))
            trials.append(_Trial(scale, held_out, xs[0], value))

    solutions: list[np.ndarray] = []
    for changes in STARTS:
        xs = [_minimise(part, part.parameters.start(changes), 0.0) for part in plain]
        shape = np.concatenate([_shape(part, x) for part, x in zip(plain, xs, strict=True)])
        if any(np.abs(shape - other).max() < DISTINCT for other in solutions):
            continue
        solutions.append(shape)
        add(0.0, plain, xs)
        starts = [tables[i].parameters.extended(plain[i].parameters, xs[i]) for i in (0, 1)]
        for scale in TABLE_SCALES:
            starts = [_minimise(tables[i], starts[i], scale) for i in (0, 1)]
            add(scale, tables, starts)
    return trials


def _shape(likelihood: Likelihood, x: np.ndarray) -> np.ndarray:
    """Return the few parameters in which two kinds of optimum differ."""
    parts = likelihood.parameters.split(x)
    names = ("sharpness", "ambiguity", "likeness", "floor")
    return np.concatenate([np.atleast_1d(parts[name]) for name in names])


def _minimise(likelihood: Likelihood, start: np.ndarray, table_scale: float) -> np.ndarray:
    from scipy.optimize import minimize

    likelihood.parameters.table_scale = table_scale or 1.0
    n = likelihood.samples

    def per_sample(x: np.ndarray) -> tuple[float, np.ndarray]:  # the first step is moderate
        value, slope = likelihood(x)
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return 1e9, np.zeros_like(x)  # a step that went much too far
        return value / n, slope / n

    options = {"maxiter": STEPS, "maxcor": CORRECTIONS, "maxls": 40, "ftol": 1e-6, "gtol": 1e-6}
    return minimize(per_sample, start, jac=True, method="L-BFGS-B", options=options).x


def usual_scale(labels: np.ndarray, logits: np.ndarray) -> float:
    """Return the factor of the logits with the lowest log loss against the given labels.

    It is a first guess of the sharpness, so that logits of any scale are fitted alike. Source: the
    temperature of Guo et al. 2017, with a share of labels that may be anything.
    """
    some = slice(None, None, max(len(labels) // TEMPERATURE_SAMPLES, 1))
    given, z = labels[some], np.asarray(logits[some], np.float64)
    z = z - z.max(axis=1, keepdims=True)
    rows, losses = np.arange(len(given)), []
    factors = TEMPERATURES / max(float(z.std()), 1e-9)
    for factor in factors:
        p = np.exp(factor * z)
        own = p[rows, given] / p.sum(axis=1)
        mixed = ((1 - share) * own + share / z.shape[1] for share in OUTLIERS)
        losses.append(min(-np.log(q).mean() for q in mixed))
    return float(factors[int(np.argmin(losses))])
