"""What random checks prove, without trusting suspicion: how many wrong labels are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from .checks import Population
from .reviewer_errors import ReviewerErrors

ENOUGH = 0.95  # share of the wrong labels
LEAST_CHECKS = 60  # before any advice to stop


@dataclass(frozen=True)
class Proof:
    """Bounds that hold with a probability of 95 % whenever somebody looks.

    The samples of low suspicion are the population that random checks are drawn from. Of the
    suspects, which reviewers see one after the other, those that are open count as wrong. So the
    bounds do not depend on whether suspicion is right.
    """

    population: Population
    drawn: int  # random checks of low suspicion
    hits: int  # wrong labels among them
    found: int  # all wrong labels that were found
    found_outside: int  # those that are not of low suspicion
    reviewed: int  # samples with a decision
    suspects: int  # that nobody has reviewed
    suspects_wrong: float  # wrong labels expected among these
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
        return max(most - (self.found - self.found_outside), 0) + self.suspects

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
    def is_enough(self) -> bool:
        """Whether ENOUGH of the wrong labels are found."""
        return self.enough_checks and self.share >= ENOUGH and self.found > 0

    @cached_property
    def needed(self) -> int | None:
        """Further checks of low suspicion, none of them wrong, after which `is_enough` holds.

        The open suspects are taken as reviewed, with as many wrong labels as expected. None if
        only a review of nearly all samples would do.
        """
        found_low = self.found - self.found_outside
        found = self.found + self.suspects_wrong
        allowed = int(found * (1 / ENOUGH - 1) + 1e-9) + found_low
        more = self.population.checks_for(allowed, self.drawn, self.hits)
        more = max(more, LEAST_CHECKS - self.checks, 0)
        left = self.population.size - self.drawn
        return None if more > left / 2 and more > LEAST_CHECKS else more
