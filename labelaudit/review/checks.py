"""Random checks: samples that are reviewed whatever their suspicion is, and what they prove.

All samples have a random order, fixed by a hash. The queue shows the next sample of this order as
every CHECKS_EVERY-th one, and only such samples after the suspects. The checks that count are the
beginning of the order up to the first sample that nobody decided on. Such a beginning is a random
sample of all, however its samples were reached: as a check, as a suspect, in the grid or by a link.
So verdicts need no mark that says how a sample was reached, and an undo or a jump cannot bias the
count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from .sampling import hashed

CHECKS_EVERY = 5  # every so many places of the queue are a random check
MOST_BETWEEN = 400  # checks between the suspects, at most
BLOCK = 200  # so many checks follow the suspects; when they are decided, the next ones
CONFIDENCE = 0.95
OPEN, RIGHT, WRONG, PASSED = range(4)  # states of samples
SMALL = 100  # from here on, numbers of wrong labels have geometric distances in the prior
POINTS = 200
TRIED = 65  # numbers compared at once


def random_order(ids: np.ndarray, *salt) -> np.ndarray:
    """Return the places of these ids, int64 (n,), in a random order that depends on `salt` only."""
    return np.argsort(hashed(ids, salt), kind="stable")


def fingerprint(p: np.ndarray) -> str:
    """Return a hash of suspicions. Other suspicions need another order: they may depend on verdicts
    that are known already, and then the old order is not random any more."""
    return sha256(np.ascontiguousarray(p).tobytes()).hexdigest()


def beginning(order: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Return the decided samples (RIGHT or WRONG) before the first OPEN one, int64 (m,).

    order: places in random order, int (n,). state: of each place, int8. PASSED are samples that do
    not take part: removed ones, and those that reviewers are unsure of or disagree about.
    """
    size = 1024
    while True:
        open_ = np.flatnonzero(state[order[:size]] == OPEN)
        if len(open_) or size >= len(order):
            break
        size *= 4
    first = order[: open_[0]] if len(open_) else order
    return first[state[first] != PASSED]


def has_skipped(order: np.ndarray, state: np.ndarray, is_low: np.ndarray) -> bool:
    """Whether a random check was skipped: the next ones of the order are decided already.

    is_low: bool (n,), of the samples that are no suspects, so that only checks show them.
    """
    open_ = np.flatnonzero(state[order[: 64 * BLOCK]] == OPEN)
    if not len(open_):
        return False
    later = order[open_[0] + 1 :][: BLOCK // 2]
    later = later[is_low[later]]
    return bool(((state[later] == RIGHT) | (state[later] == WRONG)).sum() > 1)


def with_checks(suspects: np.ndarray, checks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids to review, int64 (n,), and a mask of the random checks among them.

    suspects: ids, most suspicious first. checks: ids in random order. A suspect that is the next
    check comes at the place of the check. After the suspects, there are only checks.
    """
    between = min(len(suspects) // (CHECKS_EVERY - 1), MOST_BETWEEN, len(checks))
    places = (1 + np.arange(between)) * CHECKS_EVERY - 1
    both = np.insert(suspects, places - np.arange(between), checks[:between])
    is_check = np.zeros(len(both), bool)
    is_check[places] = True
    both = np.concatenate([both, checks[between:]])
    is_check = np.concatenate([is_check, np.ones(len(both) - len(is_check), bool)])
    _, first = np.unique(both, return_index=True)
    first = np.sort(first)
    return both[first], is_check[first]


@dataclass(frozen=True)
class Population:
    """The samples that are not suspects, of which only random checks tell how many are wrong."""

    size: int
    expected: float  # share of wrong labels by suspicion; decides only how narrow bounds are

    def most_wrong(self, drawn: int, wrong: int) -> int:
        """Return an upper bound of the wrong labels, if `wrong` of `drawn` random checks are.

        With probability CONFIDENCE it holds after every check of a review together, so reviewers
        may stop when they like. It is the largest number that the ratio of prior to posterior does
        not exclude. Source: Waudby-Smith & Ramdas 2020, "Confidence sequences for sampling without
        replacement".
        """
        if not drawn:
            return self.size
        least = self._least(drawn, wrong)
        low, high = self._most_probable(drawn, wrong), self.size - (drawn - wrong)
        while low < high:  # above the most probable number, the likelihood falls
            tried = np.unique(np.linspace(low, high, TRIED).astype(np.int64))[1:]
            inside = _log_likelihood(tried, self.size, drawn, wrong) > least
            last = int(inside.sum())  # True first, then False
            low, high = (
                int(tried[last - 1]) if last else low,
                int(tried[last]) - 1 if last < len(tried) else high,
            )
        return int(low)

    def excludes(self, most: int, drawn: int, wrong: int) -> bool:
        """Whether `most_wrong` is `most` or less."""
        if most >= self.size - (drawn - wrong):
            return True
        if not drawn or most < self._most_probable(drawn, wrong):
            return False
        next_ = _log_likelihood(np.array([most + 1]), self.size, drawn, wrong)[0]
        return bool(next_ <= self._least(drawn, wrong))

    def checks_for(self, most: int, drawn: int, wrong: int) -> int:
        """Return how many further checks, none of which is wrong, bring `most_wrong` to `most`."""
        low, high = 0, self.size - drawn
        while low < high:
            middle = (low + high) // 2
            enough = self.excludes(most, drawn + middle, wrong)
            low, high = (low, middle) if enough else (middle + 1, high)
        return low

    def _most_probable(self, drawn: int, wrong: int) -> int:
        most = self.size - (drawn - wrong)
        return min(max((self.size + 1) * wrong // drawn, wrong), most)

    def _least(self, drawn: int, wrong: int) -> float:
        """The log likelihood of a number that is only just not excluded."""
        points, prior = self._prior
        likelihood = _log_likelihood(points, self.size, drawn, wrong)
        return float(np.logaddexp.reduce(prior + likelihood) + np.log(1 - CONFIDENCE))

    @cached_property
    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers of wrong labels, int64 (m,), and their log probabilities.

        A mixture: about as many as suspicion says, a few per cent, and any order of magnitude.
        """
        top = self.size + 1
        points = np.geomspace(SMALL, max(top, SMALL + 1), POINTS).astype(np.int64)
        points = np.unique(np.concatenate([np.arange(SMALL), points]))
        points = points[points < top]
        width = np.diff(np.append(points, top))
        share = (points + 0.5) / top
        x, centre = _logit(share), _logit(np.clip(self.expected, 0.3 / top, 0.999))
        near = np.exp(-0.5 * ((x - centre) / 0.8) ** 2) / (share * (1 - share))
        far = share**-0.5 * (1 - share) ** 11
        parts = [near * width, far * width, width / (points + 1)]
        weights = sum(w * part / part.sum() for w, part in zip((0.4, 0.3, 0.3), parts, strict=True))
        with np.errstate(divide="ignore"):
            return points, np.log(weights)


def _logit(share):
    return np.log(share) - np.log1p(-share)


def _log_likelihood(points: np.ndarray, size: int, drawn: int, wrong: int) -> np.ndarray:
    """Return the log probability of the checks if so many labels are wrong, without a constant."""
    from scipy.special import gammaln

    right, possible = drawn - wrong, (points >= wrong) & (size - points >= drawn - wrong)
    m = np.where(possible, points, wrong).astype(float)
    value = gammaln(m + 1) - gammaln(m - wrong + 1)
    value += gammaln(size - m + 1) - gammaln(np.maximum(size - m - right, 0) + 1)
    return np.where(possible, value, -np.inf)
