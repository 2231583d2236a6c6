"""How far a whole audit is: one share and one time left, over all its stages."""

from __future__ import annotations

import time

from ..core.progress import Progress

# The stages of an audit by the beginning of their names, with the share of the time that they take.
# Measured on photographs and on small images; only their proportions matter.
LOOK = {
    "reading images": 1.0,
    "comparing images": 0.3,
    "extracting features": 10.0,
    "comparing each image": 2.0,
    "scoring": 0.5,
    "checking image quality": 1.0,
}
TRAINING = {"training": 20.0, "saving": 0.2, "predicting": 2.0, "preparing": 0.2, "scoring": 1.0}
SETTLED = 2.0  # seconds after which the time left can be estimated


class Overall:
    """Adds up the stages of one audit. Its share never falls, although some stages repeat."""

    def __init__(self, trains: bool, resumed: bool) -> None:
        """trains: whether a model is trained. resumed: whether the audit starts with training."""
        self._parts = ([] if resumed else [*LOOK.items()]) + ([*TRAINING.items()] if trains else [])
        self._look = 0 if resumed else len(LOOK)  # number of parts before training
        self._at = 0
        self._share = 0.0
        self._started = time.monotonic()

    def __call__(self, report: Progress) -> dict:
        """Return `share`, 0 to 1, and `seconds_left`, None while it is not known."""
        self._at = self._place(report.stage)
        weights = [weight for _, weight in self._parts]
        within = min(report.done / report.total, 1.0) if report.total else 0.0
        before = sum(weights[: self._at])
        weight = weights[self._at]
        done = before + weight * within
        self._share = max(self._share, done / sum(weights))
        seconds = time.monotonic() - self._started
        if seconds < SETTLED or not done:
            return {"share": self._share, "seconds_left": None}
        per_weight = seconds / done
        left = report.seconds_left
        if left is None:
            left = weight * (1 - within) * per_weight
        left += sum(weights[self._at + 1 :]) * per_weight
        return {"share": self._share, "seconds_left": left}

    def _place(self, stage: str) -> int:
        """Return the part of a stage: the next one of this name, before training or after."""
        if self._at < self._look and stage.startswith("training") and len(self._parts) > self._look:
            return self._look
        end = self._look if self._at < self._look else len(self._parts)
        for place in range(self._at, end):
            if stage.startswith(self._parts[place][0]):
                return place
        return self._at
