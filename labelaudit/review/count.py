"""How many labels are wrong: reviewed labels exactly, and a probability for all others.

Samples are divided into strata of suspicion. In each stratum a share q of the labels is wrong. A
priori q is about the mean suspicion (logit q is normal), or, with probability SLAB, something else:
suspicion may be mistaken. Reviewers see samples and learn whether their labels are wrong, which
makes q more certain by Bayes' rule. In strata of low suspicion only random checks count for q,
because what else is seen there was chosen; in the others all verdicts count. Wrong labels that
nobody has seen are binomial. With a small probability, suspicion is only noise in the whole
dataset, and its low values stand for no wrong labels at all; or all labels are right.

The prior must not hide errors that suspicion does not see. So the interval ends no lower than the
random checks alone allow (an exact binomial bound, Clopper and Pearson 1934), but no higher than
before the review.

This is post-stratification (Little 1993, "Post-stratification: a modeler's perspective") with a
prior from a model; the random checks make it right where the model is wrong, as in
prediction-powered inference (Angelopoulos et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..scores.self_test import SelfTest
from .reviewer_errors import ReviewerErrors
from .strata import STRATA, SUSPECT

RATES = 1 / (1 + np.exp(-np.linspace(-14, 8, 353)))  # of wrong labels, equidistant logits
SPREAD = 0.6  # standard deviation of logit q around what suspicion says
SPREAD_IN_DOUBT = 1.2  # the same if the self-test finds less than suspicion claims
SLAB = 0.35  # probability that suspicion is mistaken in a stratum
# exponents of q and 1 - q in each stratum, if it is: a beta distribution
SLAB_LAWS = ((0.5, 8), (0.5, 5), (0.7, 1.5), (1, 1), (1.2, 0.6))
NOISE = 0.05  # probability that suspicion is only noise
NOISE_IN_DOUBT = 0.3  # the same if the self-test finds more than suspicion claims
NOISE_TESTED = 0.02  # the same if the self-test finds what suspicion claims
ALL_RIGHT = 0.002  # probability that no label is wrong, whatever suspicion says
NOISE_SHIFT = -7.0  # of logit q of strata below CERTAIN, if suspicion is only noise
CERTAIN = 3  # stratum from which on a label is probably wrong
DRAWS = 2000
FEW = 10  # expected wrong labels; with fewer and none found there may be none
CONFIDENCE = 0.95  # of the interval
QUANTILES = (0.025, 0.5, 0.975)  # its ends and the middle


@dataclass(frozen=True)
class Seen:
    """What was seen in each stratum. Arrays (STRATA,)."""

    hits: np.ndarray  # wrong labels among the samples that count for the rate
    misses: np.ndarray  # right ones
    wrong: np.ndarray  # wrong labels among all decided samples
    right: np.ndarray
    open: np.ndarray  # samples that are not decided
    mean_open: np.ndarray  # mean suspicion of these
    mean_used: np.ndarray  # mean suspicion of the samples that count for the rate
    mean: np.ndarray  # mean suspicion of all


class Count:
    """Draws from the distribution of the number of wrong labels.

    `low`, `middle`, `high`: the ends and the median of the interval of all wrong labels in the
    strata. `rest`: wrong labels among the open samples of each stratum, (DRAWS, STRATA).
    """

    def __init__(
        self,
        seen: Seen,
        errors: ReviewerErrors,
        test: SelfTest | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        self._seen = seen
        self._quantiles = (1 - confidence) / 2, 0.5, (1 + confidence) / 2
        used = (seen.hits + seen.misses > 0) & (np.arange(STRATA) >= SUSPECT)
        # In the upper strata the most suspicious samples are reviewed first, so the open ones are
        # less suspicious by this much.
        shift = np.where(used & (seen.open > 0), _logit(seen.mean_open) - _logit(seen.mean_used), 0)
        centre = np.where(used, seen.mean_used, np.where(seen.open > 0, seen.mean_open, seen.mean))
        spread = SPREAD_IN_DOUBT if test and test.overstates else SPREAD
        noise = NOISE_TESTED if test and test.agrees else NOISE
        noise = NOISE_IN_DOUBT if test and test.understates else noise
        means = centre.tolist()
        prior = np.stack([_prior(mean, s, spread) for s, mean in enumerate(means)])
        zero = np.stack([_near_zero(mean) for mean in means])
        if_noise = np.concatenate([zero[:CERTAIN], _slabs()[CERTAIN:]])
        hypotheses = [
            (1 - noise - ALL_RIGHT, prior),
            (noise, if_noise),
            (ALL_RIGHT, np.repeat(zero[:1], STRATA, axis=0)),
        ]
        draws, rates = _draw_rates(seen, hypotheses, errors)
        self._errors = errors, draws
        self._rates = rates
        rng = np.random.default_rng(1)  # a constant seed, so that displayed numbers do not flicker
        odds = rates / (1 - rates) * np.exp(shift)
        # What was found beside the checks, at low suspicion, is not open any more.
        low = np.arange(STRATA) < SUSPECT
        others = np.where(low, seen.wrong + seen.right - seen.hits - seen.misses, 0)
        found = np.where(low, seen.wrong - seen.hits, 0)
        rest = rng.binomial(seen.open + others, odds / (1 + odds)) - found
        self.rest = np.clip(rest, 0, seen.open)
        self.low, self.middle, self.high = self._bounds(rng)

    def most_hidden(self, wrong: int) -> float:
        """Return the upper bound of the open wrong labels of low suspicion that the random checks
        alone give. wrong: labels of low suspicion that were found, as a check or not."""
        from scipy.special import betaincinv

        seen, low = self._seen, slice(0, SUSPECT)
        hits, misses = int(seen.hits[low].sum()), int(seen.misses[low].sum())
        share = betaincinv(hits + 1, misses, self._quantiles[2]) if misses else 1.0
        if self._errors[0].known:
            missed, alarms = self._errors[0].missed.mean(), self._errors[0].alarms.mean()
            share = np.clip((share - alarms) / max(1 - missed - alarms, 1e-3), 0, 1)
        # what was found beside the checks is not open any more
        others = int((seen.open + seen.wrong + seen.right)[low].sum()) - hits - misses
        return float(np.clip(share * others - (wrong - hits), 0, seen.open[low].sum()))

    def _bounds(self, rng: np.random.Generator) -> tuple[float, float, float]:
        reviewed = self._truly_wrong(rng)
        total = np.sort(self.rest.sum(axis=1) + reviewed)
        low, middle, high = total[self._places(len(total))]
        seen = self._seen
        sure = (seen.wrong > 0) | (seen.open * seen.mean_open >= FEW)
        least = np.sort((self.rest * sure).sum(axis=1) + reviewed)
        return min(low, float(least[self._places(len(least))[0]])), middle, high

    def _places(self, count: int) -> np.ndarray:
        return np.minimum((np.array(self._quantiles) * count).astype(int), count - 1)

    def _truly_wrong(self, rng: np.random.Generator) -> np.ndarray | int:
        """Wrong labels among the decided samples, int (DRAWS,), allowing for reviewers' errors."""
        seen, (errors, draw) = self._seen, self._errors
        if not errors.known:
            return int(seen.wrong.sum())
        missed, alarms = errors.missed[draw, None], errors.alarms[draw, None]
        q = self._rates
        says_wrong = q * (1 - missed) + (1 - q) * alarms
        found = rng.binomial(seen.wrong, np.clip(q * (1 - missed) / says_wrong, 0, 1))
        overlooked = rng.binomial(
            seen.right, np.clip(q * missed / np.maximum(1 - says_wrong, 1e-9), 0, 1)
        )
        return (found + overlooked).sum(axis=1)

    @cached_property
    def expected(self) -> np.ndarray:
        """Wrong labels expected among the open samples of each stratum, float (STRATA,)."""
        return self.rest.mean(axis=0)


def _logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-3)
    return np.log(p) - np.log1p(-p)


@lru_cache(1)
def _slabs() -> np.ndarray:
    """Return the probability of each of RATES in each stratum if suspicion is mistaken, (STRATA,
    len(RATES)). It is the density of the logit of a beta distributed variable."""
    a, b = np.array(SLAB_LAWS).T[:, :, None]
    far = RATES**a * (1 - RATES) ** b
    return far / far.sum(axis=1, keepdims=True)


@lru_cache(64)
def _prior(mean: float, stratum: int, spread: float) -> np.ndarray:
    """Return the probability of each of RATES in a stratum of this mean suspicion."""
    near = np.exp(-0.5 * ((_logit(RATES) - _logit(mean)) / spread) ** 2)
    return (1 - SLAB) * near / near.sum() + SLAB * _slabs()[stratum]


@lru_cache(64)
def _near_zero(mean: float) -> np.ndarray:
    """Return the same if low suspicions stand for no wrong labels."""
    near = np.exp(-0.5 * (_logit(RATES) - _logit(mean) - NOISE_SHIFT) ** 2)
    return near / near.sum()


def _draw_rates(
    seen: Seen, priors: list[tuple[float, np.ndarray]], errors: ReviewerErrors
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the posterior. Returns for each draw a row of `errors`, int (DRAWS,), and the rate
    of each stratum, float (DRAWS, STRATA).

    priors: probabilities of hypotheses, and of RATES in each stratum if they hold.
    """
    missed, alarms = errors.missed[:, None], errors.alarms[:, None]
    says_wrong = RATES * (1 - missed) + (1 - RATES) * alarms  # (E, rates)
    log_wrong = np.log(np.clip(says_wrong, 1e-300, 1))
    log_right = np.log(np.clip(1 - says_wrong, 1e-300, 1))
    logs = seen.hits[:, None, None] * log_wrong + seen.misses[:, None, None] * log_right
    top = logs.max(axis=2, keepdims=True)
    likelihood = np.exp(logs - top)  # (STRATA, E, rates)
    parts = [np.cumsum(prior[:, None] * likelihood, axis=2) for _, prior in priors]
    weight = np.concatenate(parts, axis=1)  # (STRATA, hypotheses x E, rates)
    evidence = np.log(np.maximum(weight[:, :, -1], 1e-300)) + np.tile(top[:, :, 0], len(priors))
    evidence = evidence.sum(axis=0) + np.repeat(np.log([p for p, _ in priors]), len(missed))
    share = np.exp(evidence - evidence.max())
    share = np.cumsum(share / share.sum())
    draws = np.searchsorted(share, (np.arange(DRAWS) + 0.5) / DRAWS).clip(0, len(share) - 1)
    rates, even = np.empty((DRAWS, STRATA)), _even_numbers()
    for stratum in range(STRATA):
        total = np.maximum(weight[stratum][:, -1:], 1e-300)
        steps = weight[stratum] / total + np.arange(len(share))[:, None]
        at = np.searchsorted(steps.ravel(), even[stratum] + draws)
        rates[:, stratum] = RATES[np.minimum(at - draws * len(RATES), len(RATES) - 1)]
    return draws % len(missed), rates


@lru_cache(1)
def _even_numbers() -> np.ndarray:
    """Numbers between 0 and 1 at equal distances, in a random order for each stratum."""
    rng, numbers = np.random.default_rng(0), (np.arange(DRAWS) + 0.5) / DRAWS
    return np.stack([rng.permutation(numbers) for _ in range(STRATA)])
