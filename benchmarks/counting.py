"""Whether the count of wrong labels and the advice to stop hold, by simulated reviewers.

Each world is a kind of labels, errors, predictions and reviewer. Its queue is that of the review
page: suspects, every fifth sample a random check, then random checks only. After so many verdicts
it is noted whether the interval contains the true number of wrong labels, and when "You can stop"
came, how many of them were found by then.

    python benchmarks/counting.py --seeds 10
    python benchmarks/counting.py --worlds digits hidden --seeds 3
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from common import save

from labelaudit.review.blind_controls import Answers
from labelaudit.review.checks import random_order, with_checks
from labelaudit.review.estimate import Estimate
from labelaudit.review.estimate_data import AgreedVerdicts, ScoredSamples
from labelaudit.review.reviewer_errors import ReviewerErrors
from labelaudit.scores.base import LogitsInfo
from labelaudit.scores.self_test import SelfTest
from labelaudit.scores.softmax import Softmax
from labelaudit.scores.suspicion import Suspicion

STAGES = (0, 50, 100, 200, 400)  # verdicts
CHECKS = 100  # the stage after so many random checks
MOST_VERDICTS, LOOK_EVERY = 1_500, 10  # of a review that waits for "You can stop"
CONTROLS_EVERY = 20  # verdicts between two blind controls of each kind, if there are any
BOUNDARY = 0.1  # of suspects


@dataclass(frozen=True)
class Data:
    """Suspicions, float (n,), in the order of samples; which labels are wrong; who is a suspect."""

    p: np.ndarray
    wrong: np.ndarray
    suspect: np.ndarray
    self_test: SelfTest | None


@dataclass(frozen=True)
class World:
    """make: returns the data of a seed. hidden: share of the wrong labels that look like right
    ones. missed, alarms: the reviewer's error rates. controls: whether blind controls are on."""

    make: Callable[[int], Data]
    hidden: float = 0.0
    missed: float = 0.0
    alarms: float = 0.0
    controls: bool = False

    def data(self, seed: int) -> Data:
        """Return the data of this seed; wrong labels are hidden from suspicion."""
        found = self.make(seed)
        if not self.hidden:
            return found
        rng = np.random.default_rng([seed, 7])
        wrong = rng.permutation(np.flatnonzero(found.wrong))
        at = wrong[: round(self.hidden * len(wrong))]
        like = rng.choice(np.flatnonzero(~found.wrong), len(at))
        p, suspect = found.p.copy(), found.suspect.copy()
        p[at], suspect[at] = found.p[like], found.suspect[like]
        return Data(p, found.wrong, suspect, found.self_test)


def scored(labels: np.ndarray, truth: np.ndarray, logits: np.ndarray, first_look=False) -> Data:
    """Compute suspicion as the product does."""
    info = LogitsInfo(logits.shape[1], len(labels), True, is_first_look=first_look)
    model, softmax = Suspicion(info), Softmax(logits)
    model.observe(labels, softmax)
    model.fit()
    p = model.score(labels, softmax)[0]
    suspect = (p > BOUNDARY) | (logits.argmax(axis=1) != labels)
    return Data(p, labels != truth, suspect, model.self_test)


def flipped(truth: np.ndarray, rate: float, classes: int, rng) -> np.ndarray:
    """Return labels of which a share is another class, at random."""
    labels = truth.copy()
    at = rng.permutation(len(truth))[: round(rate * len(truth))]
    labels[at] = (truth[at] + rng.integers(1, classes, len(at))) % classes
    return labels


def logits_of(n: int, classes: int, rate: float, gap: float, sharper: float = 1.0):
    """Independent normal logits, with `gap` on the true class; of accuracy 0.78 with 10 classes and
    a gap of 3.56."""

    @cache
    def make(seed: int) -> Data:
        rng = np.random.default_rng([seed, classes])
        truth = rng.integers(0, classes, n)
        logits = rng.normal(0, 1.5, (n, classes)).astype(np.float32)
        logits[np.arange(n), truth] += gap
        return scored(flipped(truth, rate, classes, rng), truth, logits * np.float32(sharper))

    return make


def first_look(images: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> Data:
    """Compute suspicion from a first look at pixels."""
    from labelaudit.scores.cross_fit import FeatureMap
    from labelaudit.scores.out_of_sample import predict_out_of_sample

    features = FeatureMap.fit([images], [1.0], [0.05]).transform([images])
    logits = predict_out_of_sample(features, labels, int(truth.max()) + 1).logits
    return scored(labels, truth, logits, first_look=True)


def digits(wrong: Callable[[np.ndarray, np.random.Generator], np.ndarray]):
    """The digits of scikit-learn. wrong: returns their labels, given the true ones."""

    @cache
    def make(seed: int) -> Data:
        from sklearn.datasets import load_digits

        images, truth = load_digits(return_X_y=True)
        labels = wrong(truth, np.random.default_rng([seed, 1]))
        return first_look((images / 16).astype(np.float32), labels, truth)

    return make


def at_rate(rate: float):
    return lambda truth, rng: flipped(truth, rate, 10, rng)


def swapped(truth: np.ndarray, rng) -> np.ndarray:
    """Swap a third of the 3s and 8s."""
    labels, both = truth.copy(), np.flatnonzero((truth == 3) | (truth == 8))
    at = rng.permutation(both)[: len(both) // 3]
    labels[at] = 11 - truth[at]
    return labels


def one_class(share: float):
    """Call a share of the 4s 9."""

    def wrong(truth: np.ndarray, rng) -> np.ndarray:
        labels, fours = truth.copy(), np.flatnonzero(truth == 4)
        labels[rng.permutation(fours)[: round(share * len(fours))]] = 9
        return labels

    return wrong


def easy(wrong: int):
    """400 images of ten clearly different classes."""

    @cache
    def make(seed: int) -> Data:
        rng = np.random.default_rng([seed, 2])
        truth = rng.integers(0, 10, 400)
        images = rng.integers(0, 256, (10, 144))[truth] + rng.normal(0, 40, (400, 144))
        labels = flipped(truth, wrong / 400, 10, rng)
        return first_look((images / 256).astype(np.float32), labels, truth)

    return make


DIGITS5, DIGITS20 = digits(at_rate(0.05)), digits(at_rate(0.2))
LOGITS5, LOGITS20 = logits_of(2_000, 10, 0.05, 3.56), logits_of(2_000, 10, 0.2, 3.56)
WORLDS = {
    "digits 5 %": World(DIGITS5),
    "digits 20 %": World(DIGITS20),
    "digits 40 %": World(digits(at_rate(0.4))),
    "logits 5 %": World(LOGITS5),
    "logits 20 %": World(LOGITS20),
    "logits 5 %, three times too sure": World(logits_of(2_000, 10, 0.05, 3.56, 3)),
    "logits 20 %, three times too sure": World(logits_of(2_000, 10, 0.2, 3.56, 3)),
    "logits 5 %, 40 % hidden": World(LOGITS5, hidden=0.4),
    "logits 5 %, 80 % hidden": World(LOGITS5, hidden=0.8),
    "logits 20 %, 40 % hidden": World(LOGITS20, hidden=0.4),
    "logits 20 %, 80 % hidden": World(LOGITS20, hidden=0.8),
    "digits 5 %, 40 % hidden": World(DIGITS5, hidden=0.4),
    "digits 20 %, 40 % hidden": World(DIGITS20, hidden=0.4),
    "logits 5 %, reviewer errs in 5 %": World(LOGITS5, 0, 0.05, 0.05, True),
    "logits 20 %, reviewer errs in 5 %": World(LOGITS20, 0, 0.05, 0.05, True),
    "digits 20 %, reviewer errs in 5 %": World(DIGITS20, 0, 0.05, 0.05, True),
    "logits 5 %, reviewer always keeps": World(LOGITS5, 0, 1, 0, True),
    "digits 20 %, reviewer always keeps": World(DIGITS20, 0, 1, 0, True),
    "easy 400, 80 wrong": World(easy(80)),
    "easy 400, clean": World(easy(0)),
    "digits, a third of 3 and 8 swapped": World(digits(swapped)),
    "digits, a tenth of the 4s called 9": World(digits(one_class(0.1))),
    "digits, half of the 4s called 9": World(digits(one_class(0.5))),
    "digits, clean": World(digits(at_rate(0))),
    "clean, C=10": World(logits_of(2_000, 10, 0, 4)),
    "clean, C=37": World(logits_of(7_400, 37, 0, 4)),
    "clean, C=100": World(logits_of(10_000, 100, 0, 4)),
    "clean, C=101": World(logits_of(10_000, 101, 0, 4)),
    "clean, C=1,000": World(logits_of(10_000, 1_000, 0, 4)),
}


class Reviewed:
    """A review of one world and seed, as far as it has come."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.found = world, world.data(seed)
        n, rng = len(self.found.p), np.random.default_rng([seed, 3])
        ids, labels = np.arange(n), np.zeros(n, np.int32)
        self.scored = ScoredSamples(
            ids, labels, self.found.p, np.ones(n, bool), np.ones(n, np.int32), ["a", "b"],
            random_order(ids, "benchmark", seed), self.found.suspect, np.full(n, -1),
        )  # fmt: skip
        suspects = np.flatnonzero(self.found.suspect)
        suspects = suspects[np.argsort(-self.found.p[suspects], kind="stable")]
        self.queue, self.is_check = with_checks(suspects, self.scored.order)
        wrong, luck = self.found.wrong, rng.random(n)
        self.said = np.where(wrong, luck >= world.missed, luck < world.alarms)
        self.before = Estimate(self.scored, None, self_test=self.found.self_test)
        controls = rng.random((2, n))
        self.control_errors = controls < np.array([[world.missed], [world.alarms]])

    def after(self, verdicts: int) -> Estimate:
        """Return the estimate after so many verdicts."""
        at = np.sort(self.queue[:verdicts])
        wrong = self.said[at]
        found = at[wrong]
        said = AgreedVerdicts(
            at, at, wrong, found, found, found * 0, found * 0 + 1, np.empty(0, np.int64)
        )
        errors = self._errors(verdicts)
        return Estimate(self.scored, said, errors, self.found.self_test, self.before)

    def _errors(self, verdicts: int) -> ReviewerErrors:
        many = -(-verdicts // CONTROLS_EVERY) if self.world.controls else 0
        missed, alarms = self.control_errors[:, :many].sum(axis=1)
        return ReviewerErrors.of([Answers(many, int(missed), many, int(alarms), 0)])

    def holds(self, verdicts: int) -> tuple[bool, float, float]:
        """Whether the interval holds, its width, and the number."""
        estimate = self.after(verdicts)
        truth = int(self.found.wrong.sum())
        holds = estimate.low <= truth <= estimate.high
        return holds, estimate.high - estimate.low, estimate.wrong

    def stop(self) -> tuple[int, float] | None:
        """When "You can stop" came: verdicts, and the share of the wrong labels found by then."""
        most = min(len(self.queue), MOST_VERDICTS)
        for verdicts in range(LOOK_EVERY, most + 1, LOOK_EVERY):
            estimate = self.after(verdicts)
            is_near = estimate.proof.share >= 0.9 or estimate.proof.is_clean
            if is_near and estimate.advice()[0]:
                at = self.queue[:verdicts]
                right = (self.said & self.found.wrong)[at].sum()
                true = self.found.wrong.sum()
                return verdicts, float(right / true) if true else 1.0
        return None


def run(name: str, world: World, seeds: range) -> dict:
    """Simulate a world. Returns a row of the table."""
    begun = time.process_time()
    held, widths, numbers, stops, suspects = [], [], [], [], []
    warned = 0
    for seed in seeds:
        review = Reviewed(world, seed)
        at_checks = int(np.searchsorted(np.cumsum(review.is_check), CHECKS)) + 1
        rows = [review.holds(verdicts) for verdicts in (*STAGES, at_checks)]
        held.append([row[0] for row in rows])
        widths.append([row[1] for row in rows])
        numbers.append([row[2] for row in rows])
        suspects.append(int(review.found.suspect.sum()))
        warned += bool(review.found.self_test and review.found.self_test.warning)
        if stop := review.stop():
            stops.append(stop)
    recalls = [recall for _, recall in stops]
    row = {
        "world": name,
        "wrong": int(review.found.wrong.sum()),
        "suspects": int(np.median(suspects)),
        "held": " ".join(str(int(n)) for n in np.sum(held, axis=0)),
        "number": " ".join(f"{n:.0f}" for n in np.median(numbers, axis=0)),
        "width": " ".join(f"{n:.0f}" for n in np.median(widths, axis=0)),
        "stops": len(stops),
        "after": int(np.median([v for v, _ in stops])) if stops else None,
        "least found": min(recalls, default=None),
        "below 0.9": sum(recall < 0.9 for recall in recalls),
        "self-test warns": warned,
        "cpu_seconds": round(time.process_time() - begun, 1),
    }
    print(" | ".join(str(value) for value in row.values()), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--worlds", nargs="*", default=[""], help="parts of their names")
    parser.add_argument("--into", default="counting", help="name of the file with the results")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = [
        run(name, world, seeds)
        for name, world in WORLDS.items()
        if any(part in name for part in options.worlds)
    ]
    print(pd.DataFrame(rows).to_string(index=False))
    stages = [*STAGES, f"{CHECKS} checks"]
    save(
        options.into,
        {"seeds": options.seeds, "first_seed": options.first_seed, "stages": stages, "rows": rows},
    )


if __name__ == "__main__":
    main()
