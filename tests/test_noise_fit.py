"""The fit of the noise model: the function that is minimised, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit.scores.noise_fit import SHARPNESS, _Layout, _Likelihood, fit_noise_model
from labelaudit.scores.noise_model import FLOOR, NoiseModel


def given(classes: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    return rng.integers(0, classes, n), rng.normal(0, 2, (n, classes)).astype(np.float32)


def anywhere(layout: _Layout) -> np.ndarray:
    return layout.start + np.random.default_rng(1).normal(0, 0.3, len(layout.start))


def plainly(model: NoiseModel, labels: np.ndarray, logits: np.ndarray) -> float:
    """Sum of log P(given label | image), computed from the model's description for each sample."""
    total, classes = 0.0, logits.shape[1]
    for g, row in zip(labels, logits.astype(float), strict=True):
        p = np.exp(row - row.max())
        p = (p / p.sum() + FLOOR) / (1 + classes * FLOOR)
        p = p**model.sharpness * np.exp(model.bias)
        p /= p.sum()
        found = 0.0
        for a in range(classes):
            wrong = 1 / (1 + np.exp(-(model.rate[a] + model.ambiguity * np.log(1 - p[a]))))
            pair = np.zeros(classes) if model.pair is None else np.array(model.pair[a])
            weight = np.exp(pair) * p**model.likeness
            weight[a] = 0
            found += p[a] * (1 - wrong if a == g else wrong * weight[g] / weight.sum())
        total += np.log(found)
    return total


@pytest.mark.parametrize("out_of_sample", [True, False])
@pytest.mark.parametrize("classes", [2, 5, 120])
class TestLikelihood:
    def test_it_is_that_of_the_model_that_is_described(self, classes, out_of_sample):
        labels, logits = given(classes)
        likelihood = _Likelihood(labels, logits, out_of_sample)
        x = anywhere(likelihood.layout)
        value = likelihood(x)[0] - likelihood.layout.penalty(x)[0]
        expected = -plainly(likelihood.layout.model(x), labels, logits)
        assert value == pytest.approx(expected, rel=1e-4)  # the model's numbers are rounded

    def test_the_slope_is_that_of_the_value(self, classes, out_of_sample, monkeypatch):
        monkeypatch.setattr("labelaudit.scores.noise_fit.BLOCK", 20 * classes)  # several blocks
        likelihood = _Likelihood(*given(classes), out_of_sample)
        x = anywhere(likelihood.layout)
        slope = likelihood(x)[1]
        for i in {*range(3), *np.random.default_rng(2).integers(0, len(x), 20), len(x) - 1}:
            step = np.zeros(len(x))
            step[i] = 1e-5
            measured = (likelihood(x + step)[0] - likelihood(x - step)[0]) / 2e-5
            assert slope[i] == pytest.approx(measured, rel=1e-4, abs=1e-4)


def test_sharpness_is_fitted_out_of_sample_only():
    labels, logits = given(5, 500)
    assert fit_noise_model(labels, logits, False).sharpness == SHARPNESS
    assert fit_noise_model(labels, logits, True).sharpness != SHARPNESS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [2, 4, 120])
def test_logits_of_any_size_are_fitted(classes):
    labels, logits = given(classes, 300)
    for scale in (0.0, 1e-3, 1e3):
        model = fit_noise_model(labels, scale * logits, True)
        assert np.isfinite([model.sharpness, model.ambiguity, *model.rate, *model.bias]).all()


@pytest.mark.parametrize("size", [30, 1000])
@pytest.mark.parametrize("classes", [2, 5, 120])
def test_a_step_that_went_much_too_far_has_a_value(classes, size):
    likelihood = _Likelihood(*given(classes), True)
    with np.errstate(over="ignore", divide="raise", invalid="raise"):
        for seed in range(5):
            x = np.random.default_rng(seed).normal(0, size, len(likelihood.layout.start))
            value, slope = likelihood(x)
            assert np.isfinite(value)
            assert np.isfinite(slope).all()
