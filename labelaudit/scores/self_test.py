"""A rehearsal in miniature: would suspicion notice labels that are wrong?

The predictions of a sample do not depend on its own label, if they are out of sample. So a wrong
label is planted in closed form: the label is replaced, and suspicion is computed again from the
same logits. The planted labels are random other classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .noise_model import NoiseModel
from .probability import known_labels

PLANTED = 2_000  # labels
LEAST_PLANTED = 20  # with fewer, a share says little
NOTICED = 0.1  # a planted label with a higher suspicion is noticed
ENOUGH_NOTICED = 0.7  # share of the planted labels
# Suspicion that wrong labels seem to get, divided by what planted labels get: 1 if both agree.
LEAST_RATIO, MOST_RATIO = 0.6, 1.25
LEAST_WRONG = 5.0  # expected wrong labels, from which on the claim is compared


@dataclass(frozen=True)
class SelfTest:
    """What suspicion says of labels that are wrong for certain.

    planted: their number. found: their suspicions added up; `planted` if all are seen. noticed: how
    many have a suspicion above NOTICED. claimed: mean suspicion of wrong labels according to the
    suspicions of the given labels; NaN if hardly any are wrong.
    """

    planted: int
    found: float
    noticed: int
    claimed: float

    def to_dict(self) -> dict:
        """Return it as JSON values."""
        return {k: None if v != v else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> SelfTest:
        """Read what `to_dict` returned."""
        return cls(**{k: float("nan") if v is None else v for k, v in values.items()})

    @property
    def ratio(self) -> float:
        """Suspicion that wrong labels seem to get, divided by what planted labels get."""
        if self.claimed != self.claimed:
            return 1.0
        return self.claimed * self.planted / max(self.found, 1e-9)

    @property
    def overstates(self) -> bool:
        """Whether wrong labels get less suspicion than it claims: more labels may be wrong."""
        return self.ratio > MOST_RATIO

    @property
    def understates(self) -> bool:
        """Whether wrong labels get more suspicion than it claims: what it says of the given labels
        may be mere doubt, and fewer may be wrong."""
        return self.ratio < LEAST_RATIO

    @property
    def agrees(self) -> bool:
        """Whether wrong labels get about the suspicion that it claims."""
        known = self.claimed == self.claimed
        return known and self.warning is None and not self.understates

    @property
    def warning(self) -> str | None:
        """Why suspicion is not to be relied on; None if the planted labels were noticed."""
        if self.noticed < ENOUGH_NOTICED * self.planted:
            return (
                f"In a self-test, only {self.noticed / self.planted:.0%} of {self.planted:,} "
                f"planted mistakes get a suspicion above {NOTICED:.0%}, so wrong labels "
                "may be hidden. Rely on the random checks."
            )
        if self.overstates:
            return (
                f"In a self-test, planted mistakes get a suspicion of "
                f"{self.found / self.planted:.0%} on average, less than the {self.claimed:.0%} "
                "expected, so more labels may be wrong than estimated. Rely on the random checks."
            )
        return None

    @property
    def sentence(self) -> str:
        """The result in words."""
        return (
            f"Self-test: of {self.planted:,} labels replaced at random, {self.noticed:,} get a "
            f"suspicion above {NOTICED:.0%}, and all their suspicions add up to "
            f"{self.found:,.0f}."
        )


def plant(model: NoiseModel, labels: np.ndarray, sources: Sequence[np.ndarray]) -> SelfTest | None:
    """Plant wrong labels among samples whose label is probably right.

    labels: int (n,). sources: logits, float (n, C), as the model takes them. Returns None with one
    class, and with fewer than LEAST_PLANTED samples to plant one in.
    """
    C = len(model.rate)  # without classes that only the sources know
    if C < 2:
        return None
    rng = np.random.default_rng(0)
    known = np.flatnonzero(known_labels(labels, C))
    at = rng.permutation(known)[:PLANTED]
    chosen = [source[at] for source in sources]
    p = _suspicion(model, labels[at], chosen)
    # Suspicion of the wrong labels alone, if suspicion is right: they are the share p of each.
    claimed = float((p**2).sum() / p.sum()) if p.sum() >= LEAST_WRONG else float("nan")
    right = p < 0.5
    if np.count_nonzero(right) < LEAST_PLANTED:
        return None
    wrong = (labels[at] + rng.integers(1, C, len(at))) % C
    noticed = _suspicion(model, wrong[right], [source[right] for source in chosen])
    return SelfTest(int(right.sum()), float(noticed.sum()), int((noticed > NOTICED).sum()), claimed)


def _suspicion(model: NoiseModel, labels: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    p = model.posterior(labels, sources)
    return np.clip(1 - p[np.arange(len(labels)), labels].astype(np.float64), 0, 1)
