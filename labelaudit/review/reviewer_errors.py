"""How often reviewers err, as blind controls show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .blind_controls import Answers

LEVELS = 40  # values of each rate
# Exponents of the beta distributions of both rates, before any control: most reviewers err
# seldom, and some may do anything.
MISSED, ALARMS, ANYTHING = (0.5, 9.5), (0.3, 19.7), (0.5, 0.5)
SHARE_ANYTHING = 0.1


@dataclass(frozen=True)
class ReviewerErrors:
    """Equally probable pairs of error rates, float (E,). Without controls both are 0.

    missed: share of the wrong labels that reviewers keep. alarms: share of the right labels that
    they call wrong. controls: how the controls were answered.
    """

    missed: np.ndarray
    alarms: np.ndarray
    controls: Answers

    @property
    def known(self) -> bool:
        """Whether any blind control was answered."""
        return self.controls.total > 0

    @property
    def most_missed(self) -> float:
        """Upper bound (95 %) of the share of wrong labels that are kept; 0 without such errors."""
        return float(np.quantile(self.missed, 0.95)) if self.controls.missed else 0.0

    @property
    def most_alarms(self) -> float:
        """Upper bound (95 %) of the share of right labels that are called wrong; 0 without any."""
        return float(np.quantile(self.alarms, 0.95)) if self.controls.false_alarms else 0.0

    @classmethod
    def of(cls, answers: Iterable[Answers]) -> ReviewerErrors:
        """Make it of the answers of all reviewers."""
        names = ("bad", "missed", "good", "false_alarms", "unsure")
        each = list(answers)
        pooled = Answers(*(sum(getattr(one, name) for one in each) for name in names))
        if not pooled.total:
            return cls(np.zeros(1), np.zeros(1), pooled)
        missed = _rates(MISSED, pooled.missed, pooled.bad)
        alarms = _rates(ALARMS, pooled.false_alarms, pooled.good)
        mixed = np.random.default_rng(0).permutation(LEVELS)  # the two are independent
        return cls(missed, alarms[mixed], pooled)


def _rates(usual: tuple[float, float], wrong: int, total: int) -> np.ndarray:
    """Return quantiles of the posterior of a rate, float (LEVELS,)."""
    from scipy.special import betaln
    from scipy.stats import beta

    laws = [(a + wrong, b + total - wrong) for a, b in (usual, ANYTHING)]
    logs = [betaln(*law) - betaln(*old) for law, old in zip(laws, (usual, ANYTHING), strict=True)]
    odds = SHARE_ANYTHING / (1 - SHARE_ANYTHING) * np.exp(logs[1] - logs[0])
    grid = np.concatenate([np.geomspace(1e-6, 0.01, 200), np.linspace(0.01, 1, 800)[1:]])
    cumulated = (beta.cdf(grid, *laws[0]) + odds * beta.cdf(grid, *laws[1])) / (1 + odds)
    return np.interp((np.arange(LEVELS) + 0.5) / LEVELS, cumulated, grid)
