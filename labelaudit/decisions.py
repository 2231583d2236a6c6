"""From verdicts to labels: what would change, and the change, when a person says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import changelog, edits, verdicts
from .changelog import Cause
from .dataset import Dataset
from .frame import Frame
from .review import opinions
from .runs import find
from .schema import REMOVED
from .verdicts import RELABEL, REMOVE


@dataclass(frozen=True)
class Decisions:
    """What verdicts ask for and has not been done. Ids are sorted, int64."""

    relabel: np.ndarray
    before: np.ndarray  # int32, class indices of `relabel` now
    after: np.ndarray  # … and as they would be
    remove: np.ndarray
    disagreed: np.ndarray  # reviewers say different things: nothing is done
    outdated: np.ndarray  # relabelled otherwise since the verdict: nothing is done
    done: int  # samples whose labels are as decided already

    def __len__(self) -> int:
        """How many samples would change."""
        return len(self.relabel) + len(self.remove)


def pending_decisions(dataset: Dataset, reviewers: Sequence[str] | None = None) -> Decisions:
    """What the verdicts that stand ask for; of these reviewers, or of all.

    A sample is relabelled or removed where all who are not unsure of it say the same.
    """
    frame = dataset.view().frame
    with frame.store.steady():
        return _decisions(frame, verdicts.read(frame), reviewers)


def _decisions(frame: Frame, log: verdicts.Log, reviewers: Sequence[str] | None) -> Decisions:
    samples, lowest, highest, rows = opinions(log, reviewers)
    at, known = find(frame.ids, samples)
    agreed = known & (lowest == highest)
    verdict, label, given = log.verdict[rows], log.label[rows], log.given[rows]
    now = frame.label[at] if len(frame.ids) else given
    gone = frame.tags.get(REMOVED, np.zeros(len(frame.ids), bool))[at]
    relabel, remove = agreed & (verdict == RELABEL), agreed & (verdict == REMOVE)
    fresh = now == given
    pending = relabel & fresh
    return Decisions(
        relabel=samples[pending],
        before=now[pending],
        after=label[pending].astype(np.int32),
        remove=samples[remove & ~gone],
        disagreed=samples[known & (lowest != highest)],
        outdated=samples[relabel & ~fresh & (now != label)],
        done=int((relabel & (now == label)).sum() + (remove & gone).sum()),
    )


def class_pair_counts(dataset: Dataset, wanted: Decisions) -> pd.DataFrame:
    """Columns ground_truth, becomes, count of what would be relabelled, most frequent first."""
    names = np.array([*dataset.classes, None], object)
    pairs, counts = np.unique(np.stack([wanted.before, wanted.after]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    before, after = pairs[:, order]
    return pd.DataFrame(
        {"ground_truth": names[before], "becomes": names[after], "count": counts[order]}
    )


def apply_verdicts(
    dataset: Dataset, reviewers: Sequence[str] | None = None, who: str | None = None
) -> Decisions:
    """Do what `pending_decisions` lists, in one commit: relabel, and tag `removed`. Returns what
    was done.

    who: goes into the history; by default the machine's user. `labelaudit.return_to` takes it back.
    """
    frame = dataset.view().frame
    with frame.store.writing():
        wanted = _decisions(frame, verdicts.read(frame), reviewers)
        ids = np.union1d(wanted.relabel, wanted.remove)
        labels = frame.label[frame.positions(ids)].copy()
        labels[np.searchsorted(ids, wanted.relabel)] = wanted.after
        removed = np.isin(ids, wanted.remove)

        def edit(rows: edits.Rows) -> None:
            rows.set_label(labels)
            rows.set_tag(REMOVED, rows.tags.get(REMOVED, False) | removed)

        info = {"relabelled": len(wanted.relabel), "removed": len(wanted.remove)}
        edits.change(frame, ids, edit, Cause(changelog.VERDICTS, who, info))
    return wanted


def verdict_counts(dataset: Dataset) -> pd.DataFrame:
    """One row a reviewer: reviewer, keep, relabel, remove, unsure, first and last (ISO 8601)."""
    log = verdicts.read(dataset.view().frame)
    rows = log.current()
    table = []
    for code, name in enumerate(log.reviewers):
        own = rows[log.reviewer[rows] == code]
        if len(own):
            counts = np.bincount(log.verdict[own], minlength=len(verdicts.VERDICTS))
            table.append(
                {"reviewer": name, **dict(zip(verdicts.VERDICTS, counts.tolist(), strict=True)),
                 "first": log.time[own[0]], "last": log.time[own[-1]]}
            )  # fmt: skip
    return pd.DataFrame(table)
