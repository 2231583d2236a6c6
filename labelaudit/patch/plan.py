"""What a patch would change in a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset.arrays import MISSING
from ..dataset.class_names import former_codes
from ..dataset.columns import Frame
from ..storage.schema import REMOVED
from .matching import NOT_FOUND, Matches
from .patch_file import REMOVE, Change

NOT_A_CLASS = -4  # code of an old label that the dataset does not have

CONTRADICTION = "two lines contradict each other"
OTHER_LABEL = "labelled differently"
ALREADY_REMOVED = "removed here"


@dataclass(frozen=True)
class Unfit:
    """A change that is not applied."""

    change: Change
    why: str
    sample: int | None = None  # its id in this dataset
    label: str | None = None  # its class in this dataset

    def to_dict(self) -> dict:
        """Return plain JSON values: sample, id, before, wanted, here, by, why."""
        change = self.change
        return {
            "sample": change.name,
            "id": self.sample,
            "before": change.before,
            "wanted": change.words,
            "here": self.label,
            "by": ", ".join(change.by),
            "why": self.why,
        }


@dataclass(frozen=True)
class PatchPlan:
    """What a patch would do to a dataset. Arrays are (n,); ids are sorted, int64."""

    relabel: np.ndarray  # ids
    before: np.ndarray  # int32, current class indices of `relabel`
    after: np.ndarray  # int32, their new class indices, with new classes after the existing ones
    remove: np.ndarray  # ids
    already: int  # samples that are already as the patch wants them
    conflicts: list[Unfit]  # samples in neither the old nor the new state: not applied
    missing: list[Unfit]  # changes whose sample was not found with certainty: not applied
    found: dict[str, int]  # number of samples found by PATH, PIXELS, ID
    new_classes: list[str]  # classes that the labels need and the dataset does not have
    unread: int  # images that were not read and may change the result
    by: list[str]  # the people who decided the changes that would be applied

    def __len__(self) -> int:
        """Number of samples that would change."""
        return len(self.relabel) + len(self.remove)

    def equals(self, other: PatchPlan) -> bool:
        """Whether both plans change the same samples in the same way."""
        names = ("relabel", "before", "after", "remove")
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)
        return same and self.new_classes == other.new_classes


def make_plan(frame: Frame, changes: list[Change], trust: Sequence[str], unread: int) -> PatchPlan:
    """Compare the changes with the current state of a dataset."""
    matches = Matches(frame, changes, trust)
    sample, is_found = matches.sample, matches.sample != NOT_FOUND
    classes = frame.classes
    # a copy may have the names from before classes were renamed or merged here
    codes: dict[str | None, int] = {None: MISSING, **former_codes(frame)}
    named = {change.after for change in changes if change.after is not None}
    unknown = sorted(named - codes.keys())
    new_codes = codes | {name: len(classes) + i for i, name in enumerate(unknown)}
    before = np.array([codes.get(c.before, NOT_A_CLASS) for c in changes], np.int32)
    after = np.array([new_codes[c.after] for c in changes], np.int32)
    removes = np.array([c.change == REMOVE for c in changes], bool)
    now, is_removed = _current_state(frame, sample, is_found)

    is_first, contradicts = _repeats(sample, changes)
    already = is_found & np.where(removes, is_removed, ~is_removed & (now == after))
    apply = is_found & ~already & ~is_removed & (now == before) & ~contradicts
    conflict = is_found & ((~already & ~apply) | contradicts)
    reason = np.where(is_removed, ALREADY_REMOVED, OTHER_LABEL)
    reason = np.where(contradicts, CONTRADICTION, reason)
    names = [*classes, None]
    relabel, remove = apply & is_first & ~removes, apply & is_first & removes
    order = relabel.nonzero()[0][np.argsort(sample[relabel])]
    after, new_classes = _used_classes(after[order], len(classes), unknown)
    return PatchPlan(
        relabel=sample[order],
        before=before[order],
        after=after,
        remove=np.sort(sample[remove]),
        already=int((already & is_first & ~contradicts).sum()),
        conflicts=[
            Unfit(changes[i], str(reason[i]), int(sample[i]), names[now[i]])
            for i in conflict.nonzero()[0]
        ],
        missing=[Unfit(changes[i], str(matches.why[i])) for i in (~is_found).nonzero()[0]],
        found=dict(Counter(matches.how[is_found].tolist())),
        new_classes=new_classes,
        unread=unread,
        by=sorted({name for i in (relabel | remove).nonzero()[0] for name in changes[i].by}),
    )


def _current_state(
    frame: Frame, sample: np.ndarray, is_found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return current class index, int32 (n,), and whether a sample is removed, bool (n,)."""
    at = frame.positions(sample[is_found])
    now, is_removed = np.full(len(sample), MISSING, np.int32), np.zeros(len(sample), bool)
    now[is_found], is_removed[is_found] = frame.label[at], frame.tagged(REMOVED)[at]
    return now, is_removed


def _used_classes(
    after: np.ndarray, count: int, unknown: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Leave out new classes that only conflicts need.

    after: class indices; those from `count` on index `unknown`. Returns the indices renumbered, and
    the names of the new classes that remain.
    """
    new = np.unique(after[after >= count])
    after = np.where(after < count, after, count + np.searchsorted(new, after))
    return after.astype(np.int32), [unknown[code - count] for code in new.tolist()]


def _repeats(samples: np.ndarray, changes: list[Change]) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the first change of each sample, and of changes that contradict another."""
    changes_of: dict[int, list[int]] = {}
    for i, sample in enumerate(samples.tolist()):
        if sample != NOT_FOUND:
            changes_of.setdefault(sample, []).append(i)
    is_first, contradicts = np.zeros(len(samples), bool), np.zeros(len(samples), bool)
    for indices in changes_of.values():
        is_first[indices[0]] = True
        outcomes = {(changes[i].before, changes[i].outcome) for i in indices}
        contradicts[indices] = len(outcomes) > 1
    return is_first, contradicts
