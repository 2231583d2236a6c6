"""What the estimate is computed from: stored suspicion, and what reviewers decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import KEEP, UNSURE
from ..dataset.view import View
from ..features.duplicates import has_copy
from ..scores.suspicion import SUSPICION
from ..storage import schema
from ..storage.schema import REMOVED
from .checks import OPEN, PASSED, RIGHT, WRONG, fingerprint, random_order
from .opinions import OUT, Opinions, opinions
from .strata import STRATA, SUSPECT, stratum_of


@dataclass(frozen=True)
class ScoredSamples:
    """The suspicion of every sample. Arrays (n,) are aligned to `ids`."""

    ids: np.ndarray
    label: np.ndarray  # class index that suspicion judges
    p: np.ndarray  # NaN without suspicion
    current: np.ndarray  # bool: suspicion judges the current label, and the sample is not removed
    suggested: np.ndarray  # most probable other class index; MISSING for none
    classes: list[str]
    order: np.ndarray  # places of the samples with a suspicion, in the order of random checks
    suspect: np.ndarray  # bool: suspects, as the ranking lists them
    copy_of: np.ndarray  # equal for copies of one image under different labels; MISSING for others
    only: np.ndarray | None = None  # bool: the samples that are estimated; None for all
    others: Sequence[str] = ()  # further classes that only the model knows, after `classes`
    missing: int = 0  # samples with a label, but without a suspicion

    @classmethod
    def read(cls, dataset: Dataset, view: View, only: np.ndarray | None = None) -> ScoredSamples:
        """Return those of a view's run. only: mask, bool (n,); the others have no suspicion."""
        frame, run = view.frame, dataset.run(view.run)
        table = schema.table("scores", run.id)
        # `view.fields.number` would drop scores of corrected labels, on which verdicts still count.
        p = frame.number(table, SUSPICION, np.nan)
        label = frame.number(table, "label", MISSING)
        known = np.isfinite(p)

        def order() -> np.ndarray:
            at = np.flatnonzero(known)
            return at[random_order(frame.ids[at], dataset.created, run.id, fingerprint(p[at]))]

        whole = frame.derived(("check order", run.name), [table, "samples"], order)
        usable = (frame.label != MISSING) & ~frame.tagged(REMOVED)
        if only is not None:  # a random order of all is one of some, too
            p, known, whole = np.where(only, p, np.nan), known & only, whole[only[whole]]
            usable = usable & only
        current = known & (label == frame.label) & usable
        in_conflict = view.fields.copy_conflicts() & current
        return cls(
            only=only,
            ids=frame.ids,
            label=label,
            p=p,
            current=current,
            suggested=view.fields.decoded(frame.number(table, "suggested", MISSING)),
            classes=frame.classes,
            order=whole,
            suspect=current & view.fields.suspects(np.arange(len(p))),
            copy_of=np.where(in_conflict, frame.number("duplicates", "copy_of", MISSING), MISSING),
            missing=int(np.count_nonzero(usable & ~known)),
            others=view.fields.classes[len(frame.classes) :],
        )

    def __len__(self) -> int:
        """Return how many samples have a suspicion."""
        return int(self.known.sum())

    def find(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of these ids, int64 (m,), and a mask of those that exist."""
        if not self._are_consecutive:
            return find(self.ids, samples)
        places = samples - self.ids[0]  # ten times as fast
        known = (places >= 0) & (places < len(self.ids))
        return np.where(known, places, 0), known

    @cached_property
    def _are_consecutive(self) -> bool:
        return len(self.ids) > 0 and self.ids[-1] - self.ids[0] == len(self.ids) - 1

    @cached_property
    def known(self) -> np.ndarray:
        """Mask, bool (n,), of the samples with a suspicion."""
        return np.isfinite(self.p)

    @cached_property
    def stratum(self) -> np.ndarray:
        """int8 (n,); MISSING without suspicion."""
        return np.where(self.known, stratum_of(np.nan_to_num(self.p)), np.int8(MISSING))

    @cached_property
    def is_low(self) -> np.ndarray:
        """Mask, bool (n,), of the samples of low suspicion."""
        return self.known & (self.stratum < SUSPECT)

    @cached_property
    def suspects_at(self) -> np.ndarray:
        """The places of the suspects, int64 (m,)."""
        return np.flatnonzero(self.suspect)

    @cached_property
    def conflicts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copies of one image under different labels: their places, int64 (m,); the group of each,
        int64 (m,); and how many labels of each group are wrong at least, int64 (G,)."""
        at = np.flatnonzero(self.copy_of != MISSING)
        groups, group = np.unique(self.copy_of[at], return_inverse=True)
        pairs, counts = np.unique([group, self.label[at]], axis=1, return_counts=True)
        most = np.zeros(len(groups), np.int64)  # copies with the most frequent label
        np.maximum.at(most, pairs[0], counts)
        return at, group, np.bincount(group, minlength=len(groups)) - most

    @cached_property
    def unreviewed(self) -> np.ndarray:
        """The state of every sample for `checks` before any verdict, int8 (n,)."""
        return np.where(self.current, np.int8(OPEN), np.int8(PASSED))

    @cached_property
    def sums(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Number of the samples of each stratum, int64 (STRATA,), and their suspicions added up,
        float64 (STRATA,): of all with a suspicion, and of the current ones."""
        known, current = np.flatnonzero(self.known), np.flatnonzero(self.current)
        return by_stratum(self, known), by_stratum(self, current)


def by_stratum(scored: ScoredSamples, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count these places, int (m,), in each stratum, and add up their suspicions."""
    stratum = scored.stratum[at]
    return (
        np.bincount(stratum, minlength=STRATA),
        np.bincount(stratum, scored.p[at], minlength=STRATA),
    )


def read_scored(dataset: Dataset, view: View) -> ScoredSamples:
    """Return the scored samples of a run, from the cache if nothing changed."""
    return view.fields.derived(("scored", view.run), lambda: ScoredSamples.read(dataset, view))


@dataclass(frozen=True)
class AgreedVerdicts:
    """What reviewers agree on."""

    samples: np.ndarray  # ids, sorted
    at: np.ndarray  # places of those of them with a suspicion
    wrong: np.ndarray  # bool, aligned to `at`: the label is wrong
    found: np.ndarray  # ids of the samples with a wrong label
    found_at: np.ndarray  # their places
    found_given: np.ndarray  # the class indices that reviewers called wrong; MISSING for no label
    found_target: np.ndarray  # their true class indices, or OUT
    # places of samples with verdicts that decide nothing: unsure, disagreement, a removed duplicate
    undecided: np.ndarray

    @classmethod
    def none(cls) -> AgreedVerdicts:
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty.astype(bool), *[empty] * 5)

    @classmethod
    def read(cls, dataset: Dataset, scored: ScoredSamples) -> AgreedVerdicts:
        log = verdict_log.read(dataset.view().frame)
        said = opinions(log)
        agreed = agreed_by_all(dataset, said)
        changes = np.flatnonzero(log.verdict[said.rows] != KEEP)[::-1]
        # the first one that counts, because the label may have been corrected since
        given = np.full(len(said.samples), MISSING)
        given[said.at[changes]] = log.given[said.rows[changes]]
        changed = np.bincount(said.at[changes], minlength=len(said.samples))
        at, known = scored.find(said.samples)
        if scored.only is not None:
            known = known & scored.only[at]
        agreed &= known
        found = agreed & (changed > 0)
        usable = agreed & scored.known[at] if len(scored.ids) else agreed
        undecided = at[known & ~agreed]
        unsure = log.sample[log.current[log.verdict[log.current] == UNSURE]]
        if len(unsure):
            looked, is_known = scored.find(unsure)
            if scored.only is not None:
                is_known = is_known & scored.only[looked]
            decided = find(at[agreed], looked)[1]
            undecided = np.union1d(undecided, looked[is_known & ~decided])
        return cls(
            samples=said.samples[agreed],
            at=at[usable],
            wrong=said.target[usable] != scored.label[at[usable]],
            found=said.samples[found],
            found_at=at[found],
            found_given=given[found],
            found_target=said.target[found],
            undecided=undecided,
        )

    def states(self, scored: ScoredSamples) -> np.ndarray:
        """Return the state of every sample for `checks`, int8 (n,)."""
        state = scored.unreviewed.copy()
        state[self.undecided] = PASSED
        state[self.at] = np.where(self.wrong, np.int8(WRONG), np.int8(RIGHT))
        return state


def agreed_by_all(dataset: Dataset, said: Opinions) -> np.ndarray:
    """Return a mask, bool (n,), of the opinions that all reviewers share and that judge a label.

    Removing a duplicate says nothing about its label.
    """
    return said.agreed & ~((said.target == OUT) & has_copy(dataset, said.samples))


def wrong_labels_found(dataset: Dataset) -> int:
    """Count the labels that reviewers agree are wrong, whatever run they looked at."""
    log = verdict_log.read(dataset.view().frame)
    said = opinions(log)
    changes = said.at[log.verdict[said.rows] != KEEP]
    wrong = np.bincount(changes, minlength=len(said.samples)) > 0
    return int((wrong & agreed_by_all(dataset, said)).sum())
