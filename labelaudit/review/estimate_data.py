"""What the estimate is computed from: stored suspicion, and verdicts that reviewers agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import KEEP
from ..dataset.view import View
from ..features.duplicates import has_copy
from ..scores.suspicion import SUSPICION
from ..storage import schema
from ..storage.schema import REMOVED
from .calibration import BINS, binned
from .opinions import OUT, opinions


@dataclass(frozen=True)
class ScoredSamples:
    """The suspicion of every sample, in bins of its logit. Arrays (n,) are aligned to `ids`."""

    ids: np.ndarray
    label: np.ndarray  # class index that suspicion judges
    bin: np.ndarray  # MISSING without suspicion
    current: np.ndarray  # bool: suspicion judges the current label, and the sample is not removed
    logit: np.ndarray  # (BINS,), of the mean p in each bin
    mean: float  # mean p
    suggested: np.ndarray  # most probable other class index; MISSING for none
    classes: list[str]
    others: Sequence[str] = ()  # further classes that only the model knows, after `classes`

    @classmethod
    def read(cls, dataset: Dataset, view: View) -> ScoredSamples:
        frame, run = view.frame, dataset.run(view.run)
        table = schema.table("scores", run.id)
        # `view.fields.number` would drop scores of corrected labels, on which verdicts still count.
        p = frame.number(table, SUSPICION, np.nan)
        label = frame.number(table, "label", MISSING)
        known = np.isfinite(p)
        bins, logit, mean = binned(p[known])
        all_bins = np.full(len(p), MISSING, np.int16)
        all_bins[known] = bins
        return cls(
            ids=frame.ids,
            label=label,
            bin=all_bins,
            current=known & (label == frame.label) & ~frame.tagged(REMOVED),
            logit=logit,
            mean=mean,
            suggested=view.fields.decoded(frame.number(table, "suggested", MISSING)),
            classes=frame.classes,
            others=view.fields.classes[len(frame.classes) :],
        )

    def __len__(self) -> int:
        """Return how many samples have a suspicion."""
        return int(self.counts[0].sum())

    @cached_property
    def known(self) -> np.ndarray:
        """Mask, bool (n,), of the samples with a suspicion."""
        return self.bin != MISSING

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples in each bin, int64 (BINS,): all with a suspicion, and the current ones."""
        known, current = self.bin[self.known], self.bin[self.current]
        return np.bincount(known, minlength=BINS), np.bincount(current, minlength=BINS)


@dataclass(frozen=True)
class AgreedVerdicts:
    """What reviewers agree on."""

    samples: np.ndarray  # ids, sorted
    at: np.ndarray  # places of those of them with a suspicion
    wrong: np.ndarray  # bool, aligned to `at`: the label is wrong
    found: np.ndarray  # ids of the samples with a wrong label
    found_at: np.ndarray  # their places
    found_target: np.ndarray  # their true class indices, or OUT

    @classmethod
    def none(cls) -> AgreedVerdicts:
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty.astype(bool), empty, empty, empty)

    @classmethod
    def read(cls, dataset: Dataset, scored: ScoredSamples) -> AgreedVerdicts:
        log = verdict_log.read(dataset.view().frame)
        said = opinions(log)
        changed = np.bincount(said.at[log.verdict[said.rows] != KEEP], minlength=len(said.samples))
        at, known = find(scored.ids, said.samples)
        agreed = said.agreed & known
        # Removing a duplicate says nothing about its label.
        agreed &= ~((said.target == OUT) & has_copy(dataset, said.samples))
        found = agreed & (changed > 0)
        usable = agreed & (scored.bin[at] != MISSING) if len(scored.ids) else agreed
        return cls(
            samples=said.samples[agreed],
            at=at[usable],
            wrong=said.target[usable] != scored.label[at[usable]],
            found=said.samples[found],
            found_at=at[found],
            found_target=said.target[found],
        )
