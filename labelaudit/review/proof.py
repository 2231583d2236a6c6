"""What random checks prove, without trusting suspicion: how many wrong labels are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from .checks import Population
from .reviewer_errors import ReviewerErrors

ENOUGH = 0.95  # share of the wrong labels
CLEAN = 0.01  # of the labels; where fewer are wrong, ENOUGH of them cannot be shown
LEAST_CHECKS = 60  # before any advice to stop


@dataclass(frozen=True)
class Proof:
    """Bounds that hold with a probability of 95 % whenever somebody looks.

    The samples of low suspicion are the population that random checks are drawn from; some of them
    are suspects because another class is predicted. All others are suspects, and those that are
    open count as wrong. So the bounds do not depend on whether suspicion is right.
    """

    population: Population
    drawn: int  # random checks of low suspicion
    hits: int  # wrong labels among them
    found: int  # all wrong labels that were found
    found_outside: int  # those that are not of low suspicion
    reviewed: int  # samples with a decision
    suspects: int  # that nobody has reviewed
    likely: int  # those of them that are not of low suspicion
    likely_wrong: float  # wrong labels expected among these
    open: int  # all samples without a decision
    checks: int  # all random checks
    samples: int
    skipped: bool  # whether a check was skipped, so that later ones do not count
    errors: ReviewerErrors
    kept_suspects: tuple[int, int] | None  # probably wrong by suspicion; those of them kept

    @cached_property
    def left(self) -> int:
        """Upper bound of the wrong labels that are not found, without mistakes of reviewers."""
        most = self.population.most_wrong(self.drawn, self.hits)
        return max(most - (self.found - self.found_outside), 0) + self.likely

    @property
    def most(self) -> int:
        """Upper bound of all wrong labels, allowing for measured mistakes of reviewers."""
        most = (self.found + self.left) / max(1 - self.errors.most_missed, 1e-9)
        return min(ceil(most - 1e-9), self.samples)

    @property
    def share(self) -> float:
        """Lower bound of the share of the wrong labels that are found; 0 to 1."""
        true = self.found - self.errors.most_alarms * self.reviewed
        return max(true, 0) / self.most if self.most else 1.0

    @property
    def enough_checks(self) -> bool:
        """Whether there are at least LEAST_CHECKS random checks, or nothing is left to review."""
        return self.checks >= LEAST_CHECKS or not self.open

    @property
    def few(self) -> int:
        """Number of wrong labels that are too few to go on: CLEAN of the samples."""
        return int(CLEAN * self.samples)

    @property
    def is_clean(self) -> bool:
        """Whether at most `few` labels are wrong, with those that are found."""
        return self.enough_checks and not self.likely and self.most <= self.few

    @property
    def is_enough(self) -> bool:
        """Whether ENOUGH of the wrong labels are found."""
        return self.enough_checks and self.share >= ENOUGH and self.found > 0

    @cached_property
    def needed(self) -> int | None:
        """Further checks of low suspicion, none of them wrong, after which `is_enough` holds.

        The open suspects are taken as reviewed, with as many wrong labels as expected. None if
        only a review of nearly all samples would do.
        """
        found = self.found + self.likely_wrong
        return self._checks_for(int(found * (1 / ENOUGH - 1) + 1e-9))

    @cached_property
    def needed_if_clean(self) -> int | None:
        """The same for `is_clean`."""
        left = self.few - self.found - ceil(self.likely_wrong)
        return self._checks_for(left) if left >= 0 else None

    def _checks_for(self, left: int) -> int | None:
        """Return how many further checks show that `left` wrong labels are not found at most."""
        allowed = left + self.found - self.found_outside
        more = self.population.checks_for(allowed, self.drawn, self.hits)
        more = max(more, LEAST_CHECKS - self.checks, 0)
        open_ = self.population.size - self.drawn
        return None if more > open_ / 2 and more > LEAST_CHECKS else more
