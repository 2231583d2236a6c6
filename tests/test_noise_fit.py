"""The fit of the noise model: the function that is minimised, its gradient, and what it finds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from labelaudit.scores.noise_fit import disagreements, fit_noise_model, usual_scale
from labelaudit.scores.noise_likelihood import Likelihood
from labelaudit.scores.noise_model import NoiseModel
from labelaudit.scores.noise_priors import IN_SAMPLE_SHARPNESS, Parameters

Sources = list[np.ndarray]


def random_data(classes: int, n: int = 60, sources: int = 1) -> tuple[np.ndarray, Sources]:
    rng = np.random.default_rng(classes)
    logits = [rng.normal(0, 2, (n, classes)).astype(np.float32) for _ in range(sources)]
    return rng.integers(0, classes, n), logits


def predictions(
    rng: np.random.Generator, truth: np.ndarray, classes: int, signal: float = 4.0
) -> np.ndarray:
    """Logits, float32 (n, C), of predictions that do not depend on the given labels."""
    z = signal * np.eye(classes)[truth] + rng.normal(0, 1.2, (len(truth), classes))
    return z.astype(np.float32)


def with_errors(
    rng: np.random.Generator, truth: np.ndarray, classes: int, share: float
) -> np.ndarray:
    """Return labels of which a share is replaced by any other class."""
    labels = truth.copy()
    at = rng.permutation(len(truth))[: round(share * len(truth))]
    labels[at] = (truth[at] + rng.integers(1, classes, len(at))) % classes
    return labels


def random_parameters(parameters: Parameters) -> np.ndarray:
    start = parameters.start()
    return start + np.random.default_rng(1).normal(0, 0.3, len(start))


def plain_log_likelihood(model: NoiseModel, labels: np.ndarray, sources: Sources) -> float:
    """Sum of log P(given label | image), computed from the model's description for each sample."""
    total, classes = 0.0, sources[0].shape[1]
    for row, g in enumerate(labels):
        mixed = np.array(model.bias)
        for sharpness, logits in zip(model.sharpness, sources, strict=True):
            mixed = mixed + sharpness * logits[row].astype(float)
        p = np.exp(mixed - mixed.max())
        p = (1 - model.floor) * p / p.sum() + model.floor / classes
        found = 0.0
        for a in range(classes):
            wrong = 1 / (1 + np.exp(-(model.rate[a] + model.ambiguity * np.log(1 - p[a]))))
            pair = np.zeros(classes) if model.pair is None else np.array(model.pair[a])
            weight = np.exp(np.array(model.target) + pair) * p**model.likeness
            weight[a] = 0
            found += p[a] * (1 - wrong if a == g else wrong * weight[g] / weight.sum())
        total += np.log(found)
    return total


def wrong_probability(model: NoiseModel, labels: np.ndarray, sources: Sources) -> np.ndarray:
    p = model.posterior(labels, sources)
    return 1 - p[np.arange(len(labels)), labels]


KINDS = [[True], [False], [True, True], [True, False]]  # out of sample, by source


@pytest.mark.parametrize("has_table", [False, True])
@pytest.mark.parametrize("out_of_sample", KINDS)
@pytest.mark.parametrize("classes", [2, 5, 40])
class TestLikelihood:
    def test_it_is_that_of_the_model_that_is_described(self, classes, out_of_sample, has_table):
        labels, sources = random_data(classes, sources=len(out_of_sample))
        likelihood = Likelihood(labels, sources, out_of_sample, has_table, dtype=np.float64)
        x = random_parameters(likelihood.parameters)
        value = likelihood(x)[0] - likelihood.parameters.penalty(x)[0]
        model = likelihood.parameters.model(x, np.ones(len(sources)))
        expected = -plain_log_likelihood(model, labels, sources)
        assert value == pytest.approx(expected, rel=1e-4)  # the model's numbers are rounded
        assert likelihood.per_sample(x).sum() == pytest.approx(-value)

    def test_the_gradient_is_that_of_the_value(
        self, classes, out_of_sample, has_table, monkeypatch
    ):
        block = 20 * classes  # several blocks
        monkeypatch.setattr("labelaudit.scores.noise_likelihood.BLOCK", block)
        labels, sources = random_data(classes, sources=len(out_of_sample))
        likelihood = Likelihood(labels, sources, out_of_sample, has_table, dtype=np.float64)
        x = random_parameters(likelihood.parameters)
        gradient = likelihood(x)[1]
        for i in {*range(7), *np.random.default_rng(2).integers(0, len(x), 15), len(x) - 1}:
            if i >= len(x):
                continue
            step = np.zeros(len(x))
            step[i] = 1e-5
            measured = (likelihood(x + step)[0] - likelihood(x - step)[0]) / 2e-5
            assert gradient[i] == pytest.approx(measured, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("has_table", [False, True])
def test_single_precision_is_enough(has_table):
    labels, sources = random_data(5, 300, sources=2)
    exact = Likelihood(labels, sources, [True, True], has_table, dtype=np.float64)
    fast = Likelihood(labels, sources, [True, True], has_table)
    x = random_parameters(exact.parameters)
    assert fast(x)[0] == pytest.approx(exact(x)[0], rel=1e-5)
    np.testing.assert_allclose(fast(x)[1], exact(x)[1], rtol=1e-3, atol=0.02)


def test_the_sharpness_of_an_in_sample_source_is_not_fitted():
    labels, (one, other) = random_data(5, 500, sources=2)
    assert fit_noise_model(labels, one, False).sharpness == [IN_SAMPLE_SHARPNESS]
    assert fit_noise_model(labels, one, True).sharpness != [IN_SAMPLE_SHARPNESS]
    both = fit_noise_model(labels, [one, other], [False, True]).sharpness
    assert both[0] == IN_SAMPLE_SHARPNESS / 2 != both[1]
    scaled = fit_noise_model(labels, [3 * one, other], [False, True]).sharpness
    assert scaled[0] == both[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [2, 4, 120])
def test_logits_of_any_size_are_fitted(classes):
    labels, (logits,) = random_data(classes, 300)
    for scale in (0.0, 1e-3, 1e3):
        model = fit_noise_model(labels, np.float32(scale) * logits, True)
        numbers = [*model.sharpness, model.ambiguity, model.floor, *model.rate, *model.bias]
        assert np.isfinite(numbers).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [30, 1000])
@pytest.mark.parametrize("classes", [2, 5, 120])
def test_a_step_that_went_much_too_far_does_not_end_the_fit(classes, size, monkeypatch):
    """The line search gets a value that it rejects, never NaN."""
    labels, (logits,) = random_data(classes, 200)
    values = []

    def minimise(function, start, **_):
        for seed in range(5):
            step = np.random.default_rng(seed).normal(0, size, len(start))
            values.append(function(start + step))
        return SimpleNamespace(x=start)

    monkeypatch.setattr("scipy.optimize.minimize", minimise)
    fit_noise_model(labels, logits, True)
    assert values
    for value, gradient in values:
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("classes", "n"), [(10, 2000), (37, 1850), (101, 2020)])
def test_hardly_any_label_of_clean_data_is_called_wrong(classes, n):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, n)
    logits = predictions(rng, truth, classes)
    assert 0.5 < (logits.argmax(axis=1) == truth).mean() < 0.99  # the predictions have errors
    model = fit_noise_model(truth, logits, True)
    wrong = wrong_probability(model, truth, [logits])
    assert wrong.sum() <= 0.01 * n
    assert (wrong > 0.5).sum() <= 0.01 * n


def test_logits_three_times_too_sure_give_the_same_posterior():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 8, 2000)
    labels = with_errors(rng, truth, 8, 0.1)
    first, second = predictions(rng, truth, 8), predictions(rng, truth, 8, signal=2.5)
    model = fit_noise_model(labels, [first, second], True)
    surer = fit_noise_model(labels, [first, 3 * second], True)
    assert surer.sharpness[0] == pytest.approx(model.sharpness[0], rel=0.02)
    assert surer.sharpness[1] == pytest.approx(model.sharpness[1] / 3, rel=0.02)
    np.testing.assert_allclose(
        surer.posterior(labels, [first, 3 * second]),
        model.posterior(labels, [first, second]),
        atol=0.01,
    )


def test_two_sources_find_more_than_one_and_one_that_adds_nothing_does_not_hurt():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 8, 2000)
    labels = with_errors(rng, truth, 8, 0.1)
    wrong = labels != truth
    first, second = (predictions(rng, truth, 8, signal=2.5) for _ in range(2))
    nothing = rng.normal(0, 2, (2000, 8)).astype(np.float32)

    def precision(*sources: np.ndarray) -> tuple[float, float]:
        model = fit_noise_model(labels, list(sources), True)
        p = wrong_probability(model, labels, list(sources))
        return average_precision_score(wrong, p), p.sum()

    alone, count = precision(first)
    both, count_of_both = precision(first, second)
    useless, count_with_useless = precision(first, nothing)
    assert both > alone + 0.05
    assert count_of_both == pytest.approx(wrong.sum(), rel=0.15)
    assert useless > alone - 0.02
    assert count_with_useless == pytest.approx(count, rel=0.15)


def test_errors_of_easy_data_are_counted():
    rng = np.random.default_rng(3)
    truth = np.arange(400) % 4
    labels = with_errors(rng, truth, 4, 0.2)
    logits = predictions(rng, truth, 4, signal=9.0)
    assert (logits.argmax(axis=1) == truth).all()
    p = wrong_probability(fit_noise_model(labels, logits, True), labels, [logits])
    assert p.sum() == pytest.approx(80, rel=0.15)
    assert average_precision_score(labels != truth, p) > 0.99


def test_a_table_of_class_pairs_is_used_only_if_the_data_ask_for_one():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 6, 3000)
    logits = predictions(rng, truth, 6)
    assert fit_noise_model(with_errors(rng, truth, 6, 0.2), logits, True).pair is None
    at = rng.permutation(3000)[:600]
    labels = truth.copy()
    labels[at] = (truth[at] + 1) % 6
    pair = np.array(fit_noise_model(labels, logits, True).pair)
    likely = pair[np.arange(6), (np.arange(6) + 1) % 6]
    assert (likely > 1).all()


def test_the_usual_scale_undoes_the_scale_of_the_logits():
    labels, (logits,) = random_data(5, 300)
    logits = logits + 2 * np.eye(5, dtype=np.float32)[labels]
    assert usual_scale(labels, 10 * logits) == pytest.approx(usual_scale(labels, logits) / 10)


def swapped_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, labels and logits: a third of classes 0 and 1 are swapped."""
    truth = rng.integers(0, 6, 1500)
    labels = np.where((truth < 2) & (rng.random(1500) < 1 / 3), 1 - truth, truth)
    return truth, labels, predictions(rng, truth, 6, 6.0)


class TestClassTerms:
    def test_errors_alike_for_all_classes_have_none(self):
        rng = np.random.default_rng(3)
        truth = rng.integers(0, 6, 1500)
        labels = with_errors(rng, truth, 6, 0.2)
        model = fit_noise_model(labels, predictions(rng, truth, 6), True)
        assert np.ptp(model.rate) == np.ptp(model.target) == 0
        assert model.pair is None

    def test_errors_of_two_classes_have_some(self):
        truth, labels, logits = swapped_pair(np.random.default_rng(3))
        model = fit_noise_model(labels, logits, True, calibrated=True)
        assert min(model.rate[:2]) > max(model.rate[2:]) + 2
        wrong = wrong_probability(model, labels, [logits])
        assert wrong.sum() == pytest.approx((labels != truth).sum(), rel=0.15)

    def test_disagreements_are_counted_by_class(self):
        _truth, labels, logits = swapped_pair(np.random.default_rng(3))
        rates, targets = disagreements(labels, [logits])
        assert min(rates[:2]) > max(rates[2:]) + 2
        assert min(targets[:2]) > max(targets[2:]) + 2


class TestUnknownClasses:
    def test_the_gradient_is_that_of_the_value(self):
        labels, sources = random_data(7, sources=2)
        labels %= 5
        likelihood = Likelihood(labels, sources, [True, True], True, dtype=np.float64, classes=5)
        x = random_parameters(likelihood.parameters)
        gradient = likelihood(x)[1]
        for i in range(len(x)):
            step = np.zeros(len(x))
            step[i] = 1e-5
            measured = (likelihood(x + step)[0] - likelihood(x - step)[0]) / 2e-5
            assert gradient[i] == pytest.approx(measured, rel=1e-4, abs=1e-5)

    @pytest.mark.parametrize("has_table", [False, True])
    def test_probabilities_of_the_labels_add_up_to_1(self, has_table):
        labels, sources = random_data(7)
        total = 0.0
        for label in range(5):
            given = np.full(len(labels), label)
            one = Likelihood(given, sources, [True], has_table, dtype=np.float64, classes=5)
            total += np.exp(one.per_sample(random_parameters(one.parameters)))
        np.testing.assert_allclose(total, 1)

    def test_their_images_have_wrong_labels(self):
        rng = np.random.default_rng(0)
        truth = rng.integers(0, 4, 800)
        labels = np.where(truth == 3, rng.integers(0, 3, 800), truth)
        logits = predictions(rng, truth, 4, 6.0)
        p = fit_noise_model(labels, logits, True, classes=3).posterior(labels, logits)
        assert p.shape == (800, 4)
        assert (p[truth == 3, 3] > 0.9).mean() > 0.95
        assert (p[truth != 3, 3] < 0.1).mean() > 0.99


def test_many_classes_have_the_same_posterior_in_fewer_passes(monkeypatch):
    rng = np.random.default_rng(0)
    labels, (logits,) = random_data(40, 500)
    labels = np.where(labels < 30, labels, -1)
    model = NoiseModel(
        [1.2], 0.2, 0.4, rng.normal(0, 0.3, 40).tolist(), rng.normal(-2, 0.3, 30).tolist(),
        rng.normal(0, 0.3, 30).tolist(), None, resemblance=0.1,
    )  # fmt: skip
    exact = model.posterior(labels, logits)
    monkeypatch.setattr("labelaudit.scores.noise_model.MANY_CLASSES", 10)
    fast = model.posterior(labels, logits)
    np.testing.assert_allclose(fast, exact, atol=0.01)
    np.testing.assert_allclose(fast[labels < 0], exact[labels < 0], atol=1e-6)


def test_clear_images_rank_by_the_given_class_alone():
    """Resemblance explains labels, but small probabilities of other classes are no evidence."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 6, 2000)
    logits = predictions(rng, truth, 6, 3.0)
    alike = np.argsort(logits, axis=1)[:, -2]
    labels = np.where(rng.random(2000) < 0.15, alike, truth)
    model = fit_noise_model(labels, logits, True)
    assert (model.ambiguity, model.resemblance) == (0.0, 0.1)
    assert 0 <= model.likeness <= 1


def test_right_labels_of_many_classes_are_not_called_wrong():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 120, 3000)
    logits = predictions(rng, labels, 120, 3.5)
    model = fit_noise_model(labels, logits, True)
    assert model.likeness == 0
    assert wrong_probability(model, labels, [logits]).sum() < 0.01 * len(labels)


def test_labels_that_predictions_agree_with_are_not_called_wrong():
    """Of equal logits, extreme targets of the errors explain the labels as well."""
    labels = np.tile(np.arange(4), 2250)
    wrong = np.arange(9000) < 3000
    logits = 3 * np.eye(4, dtype=np.float32)[np.where(wrong, (labels + 1) % 4, labels)]
    p = fit_noise_model(labels, [logits], True).posterior(labels, logits)
    suspicion = 1 - p[np.arange(9000), labels]
    assert suspicion.sum() == pytest.approx(3000, rel=0.1)
    assert suspicion[wrong].min() > suspicion[~wrong].max()
