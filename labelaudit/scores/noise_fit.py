"""Fits the noise model by maximum a posteriori with L-BFGS and hand-written gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .noise_likelihood import Likelihood
from .noise_model import NoiseModel, as_sources
from .probability import log_softmax

MOST_ROWS = 20_000  # the model is fitted to at most so many samples
MOST_VALUES = 1_000_000  # and to at most so many logits of each source
STEPS = 100  # of L-BFGS
CORRECTIONS = 20  # L-BFGS keeps so many past gradients
PAIR_CLASSES = 100  # with more classes, a table of class pairs has too many cells for the data
PAIR_VALUES = 300_000  # logits that a table is fitted to, at most
LEAST_SAMPLES = 50  # fewer say nothing about a table
HELD_OUT_SAMPLES = 10_000  # that the kind of explanation is chosen with
TABLE_SCALES = (0.5, 2.2)  # tried, besides no table
STANDARD_ERRORS = 2.0  # a wider table must be better than that
LEAST_GAIN = 2.0  # nats of all held-out samples together
# A table also explains the confusions of a weak predictor. Errors between pairs of classes gain
# 0.15 nats per sample and more (20 % of the labels), those of people on CIFAR-10 at most 0.023.
LEAST_GAIN_CALIBRATED = 0.03  # nats per sample
MOST_SAMPLE_GAIN = 5.0  # nats of one sample that count: a few samples must not decide
# Of the labels, at most this many times the share that predictions disagree with, and this share,
# can be wrong.
MOST_BESIDE_DISAGREEMENT, LEAST_SHARE = 1.25, 0.03
MATCHED_SAMPLES = 4_000  # that the number of wrong labels is compared with
CLEAR_RESEMBLANCE = 0.1  # added to probabilities that resemblance is measured by
MOST_SHIFT, SHIFT_STEPS = 4.0, 9
SMOOTHING = 5.0  # samples of each class that disagree as often as all do
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
    classes: int | None = None,
) -> NoiseModel:
    """Fit the model to labels, int (n,), and to logits, float (n, D), of one or several sources.

    All samples have a label, 0 to C - 1. out_of_sample: for each source, whether it was not trained
    on these labels. If it was, its sharpness is not fitted. calibrated: whether a source was fitted
    to these labels by cross-fitting, as a first look is. classes: C, by default D. Pass at most
    `most_rows(D)` samples.
    Errors are alike for all classes, unless the two-fold held-out likelihood asks for rates and
    targets of each class, or for a table of class pairs. Of explanations within STANDARD_ERRORS of
    the best one, the simplest is used.
    """
    from threadpoolctl import threadpool_limits

    sources = as_sources(sources)
    if isinstance(out_of_sample, bool | np.bool_):
        out_of_sample = [bool(out_of_sample)] * len(sources)
    data = _Data(np.asarray(labels), list(sources), list(out_of_sample), calibrated, classes)
    # The matrix products are small: two BLAS threads that wait for each other take ten times as
    # long. Overflow is harmless, because the line search rejects such a step.
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        return _fit(data)


def most_rows(classes: int) -> int:
    """Return how many samples are enough to fit the model."""
    return max(min(MOST_ROWS, MOST_VALUES // classes), 1)


@dataclass(frozen=True)
class _Data:
    """What the model is fitted to; see `fit_noise_model`."""

    labels: np.ndarray
    sources: list[np.ndarray]
    out_of_sample: list[bool]
    calibrated: bool
    classes: int | None

    @property
    def width(self) -> int:
        return self.sources[0].shape[1]

    def some(self, rows: np.ndarray) -> _Data:
        return replace(self, labels=self.labels[rows], sources=[z[rows] for z in self.sources])

    def likelihood(self, has_table: bool) -> Likelihood:
        return Likelihood(
            self.labels,
            self.sources,
            self.out_of_sample,
            has_table,
            self.calibrated,
            classes=self.classes,
        )


@dataclass(frozen=True)
class _Kind:
    """A kind of explanation. Kinds are ordered from the simplest to the most complex.

    table_scale: of the prior of class pairs; 0 for no table. by_class: whether rate and target
    differ between classes. by_image: whether there is ambiguity and likeness.
    """

    table_scale: float
    by_class: bool
    by_image: bool = True

    @property
    def order(self) -> tuple[float, bool, bool]:
        return self.table_scale, self.by_class, self.by_image


SIMPLEST = _Kind(0.0, False)


@dataclass(frozen=True)
class _Trial:
    kind: _Kind
    held_out: np.ndarray  # log-likelihood of each held-out sample
    xs: list[np.ndarray]  # parameters of both halves
    value: float  # log-likelihood of all held-out samples and priors together
    is_plausible: bool  # see `_is_plausible`

    @property
    def rank(self) -> tuple[bool, float]:
        """By which solutions of one kind are compared."""
        return self.is_plausible, self.value


def _fit(data: _Data) -> NoiseModel:
    scale = [
        usual_scale(data.labels, logits) if fitted else 1.0
        for logits, fitted in zip(data.sources, data.out_of_sample, strict=True)
    ]
    scaled = [z * np.float32(t) for z, t in zip(data.sources, scale, strict=True)]
    data = replace(data, sources=scaled)
    kind, start = SIMPLEST, None
    if data.width > 2 and len(data.labels) >= LEAST_SAMPLES:
        chosen = _choose(data)
        kind, start = chosen.kind, chosen.xs[0]
    if kind.table_scale and len(data.labels) > PAIR_VALUES // data.width:
        order = np.random.default_rng(1).permutation(len(data.labels))
        data = data.some(order[: PAIR_VALUES // data.width])
    likelihood = data.likelihood(kind.table_scale > 0)
    if start is None:
        start = likelihood.parameters.start()
    model = likelihood.parameters.model(_minimise(likelihood, start, kind), [1.0] * len(scale))
    model = _only_clear_resemblance(model, data)
    sharpness = [float(s * t) for s, t in zip(model.sharpness, scale, strict=True)]
    return replace(model, sharpness=sharpness)


def _only_clear_resemblance(model: NoiseModel, data: _Data) -> NoiseModel:
    """Return a model in which only clear resemblance counts, with as many wrong labels.

    How small the small probabilities of an image are explains which labels occur, but is no
    evidence of whether a label is wrong: it ranks labels worse than no likeness does. Nor is
    it evidence for a label that its image is clear or unlike the class.
    """
    rows = slice(0, MATCHED_SAMPLES)
    labels, sources = data.labels[rows], [source[rows] for source in data.sources]

    def shifted(change: float) -> NoiseModel:
        rate = [rate + change for rate in model.rate]
        return replace(
            model,
            rate=rate,
            ambiguity=0.0,
            likeness=max(model.likeness, 0.0),
            resemblance=CLEAR_RESEMBLANCE,
        )

    total = _expected(model, labels, sources)
    low, high = -MOST_SHIFT, MOST_SHIFT
    for _ in range(SHIFT_STEPS):  # bisection
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _expected(shifted(middle), labels, sources) < total else (low, middle)
        )
    return shifted((low + high) / 2)


def _choose(data: _Data) -> _Trial:
    """Choose the kind of explanation, and its solution, by two-fold held-out likelihood."""
    most = min(HELD_OUT_SAMPLES, PAIR_VALUES // data.width)
    order = np.random.default_rng(0).permutation(len(data.labels))[:most]
    trials = _trials([data.some(half) for half in np.array_split(order, 2)])
    plain = [trial for trial in trials if not trial.kind.table_scale]
    if data.calibrated and plain:
        gain = max(map(_mean, trials)) - max(map(_mean, plain))
        trials = trials if gain > LEAST_GAIN_CALIBRATED else plain
    best = max(trials, key=_mean).held_out
    good = []
    for trial in trials:
        loss = np.clip(best - trial.held_out, -MOST_SAMPLE_GAIN, MOST_SAMPLE_GAIN)
        error = STANDARD_ERRORS * loss.std() / np.sqrt(len(loss))
        allowed = max(error, LEAST_GAIN / len(loss))
        if loss.mean() <= allowed:
            good.append(trial)
    # of equally good explanations the simplest, and of those the most probable a priori
    return min(good, key=lambda trial: (trial.kind.order, -trial.value))


def _mean(trial: _Trial) -> float:
    return float(trial.held_out.mean())


def _trials(halves: list[_Data]) -> list[_Trial]:
    plain = [half.likelihood(False) for half in halves]
    trials: list[_Trial] = []

    def add(kind: _Kind, parts: list[Likelihood], starts: list[np.ndarray]) -> _Trial:
        xs = [_minimise(part, start, kind) for part, start in zip(parts, starts, strict=True)]
        held_out = np.concatenate([parts[1 - i].per_sample(xs[i]) for i in (0, 1)])
        priors = [part.parameters.penalty(x)[0] for part, x in zip(parts, xs, strict=True)]
        value = float(held_out.sum(dtype=np.float64)) - float(np.mean(priors))
        model = parts[0].parameters.model(xs[0], [1.0] * len(halves[0].sources))
        finite = bool(np.isfinite(held_out).all())
        trial = _Trial(kind, held_out, xs, value, finite and _is_plausible(model, halves[0]))
        if finite:
            trials.append(trial)
        return trial

    if halves[0].width > PAIR_CLASSES:  # too few samples of each class for weak priors
        add(_Kind(0.0, False, False), plain, [part.parameters.start() for part in plain])
    for changes in STARTS:
        add(SIMPLEST, plain, [part.parameters.start(changes) for part in plain])
    by_class = _Kind(0.0, True)
    confused = [
        part.parameters.start_from(*disagreements(half.labels, half.sources, half.classes))
        for part, half in zip(plain, halves, strict=True)
    ]
    best = max(trials, key=lambda trial: trial.rank)
    for starts in (best.xs, confused):
        add(by_class, plain, starts)
    if halves[0].width <= PAIR_CLASSES:
        best = max(trials, key=lambda trial: trial.rank)
        tables = [half.likelihood(True) for half in halves]
        starts = [
            table.parameters.extended(part.parameters, x)
            for table, part, x in zip(tables, plain, best.xs, strict=True)
        ]
        for scale in TABLE_SCALES:
            starts = add(_Kind(scale, True), tables, starts).xs
    return [trial for trial in trials if trial.is_plausible] or trials


def _is_plausible(model: NoiseModel, data: _Data) -> bool:
    """Whether not many more labels are called wrong than predictions disagree with.

    A wrong label that out-of-sample predictions agree with is an exception: the sources have not
    seen it. Without this, extreme parameters can explain labels that are nearly all right.
    """
    if not all(data.out_of_sample):
        return True
    C = data.width if data.classes is None else data.classes
    rows = slice(0, MATCHED_SAMPLES)
    labels, sources = data.labels[rows], [source[rows] for source in data.sources]
    predicted = sum(log_softmax(source) for source in sources)[:, :C].argmax(axis=1)
    most = MOST_BESIDE_DISAGREEMENT * float(np.mean(predicted != labels)) + LEAST_SHARE
    return _expected(model, labels, sources) <= most * len(labels)


def _expected(model: NoiseModel, labels: np.ndarray, sources: Sequence[np.ndarray]) -> float:
    """Return the expected number of wrong labels."""
    p = model.posterior(labels, sources)
    return float((1 - p[np.arange(len(labels)), labels]).sum(dtype=np.float64))


def disagreements(
    labels: np.ndarray, sources: Sequence[np.ndarray], classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count labels that differ from the predicted class, as if each of them was wrong.

    Returns, for each of the C classes, the rate of wrong labels as a logit, and the logarithm of
    how often wrong labels are of this class, relative to the mean.
    """
    C = sources[0].shape[1] if classes is None else classes
    predicted = sum(log_softmax(source) for source in sources)[:, :C].argmax(axis=1)
    wrong = predicted != labels
    share = wrong.mean()
    counts = np.bincount(predicted, minlength=C)
    rates = (np.bincount(predicted[wrong], minlength=C) + SMOOTHING * share) / (counts + SMOOTHING)
    rates = np.clip(rates, 1e-3, 0.9)
    targets = np.bincount(labels[wrong], minlength=C) + SMOOTHING * wrong.sum() / len(labels)
    return np.log(rates / (1 - rates)), np.log(
        np.maximum(targets, 1e-3) / max(targets.mean(), 1e-3)
    )


def _minimise(likelihood: Likelihood, start: np.ndarray, kind: _Kind) -> np.ndarray:
    from scipy.optimize import minimize

    parameters = likelihood.parameters
    parameters.table_scale = kind.table_scale or 1.0
    n, fixed = likelihood.samples, []
    if not kind.by_class:  # they start at 0, and stay there
        fixed += [parameters.at["rate"], parameters.at["target"]]
    if not kind.by_image:
        fixed += [parameters.at["ambiguity"], parameters.at["likeness"]]

    def per_sample(x: np.ndarray) -> tuple[float, np.ndarray]:  # the first step is moderate
        value, slope = likelihood(x)
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return 1e9, np.zeros_like(x)  # a step that went much too far
        for place in fixed:
            slope[place] = 0
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
