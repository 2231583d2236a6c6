"""From verdicts to labels: what would change, and the change, when a person says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import changelog, edits, verdicts
from .changelog import Cause
from .dataset import Dataset
from .frame import Frame, find
from .review import opinions
from .schema import REMOVED
from .verdicts import RELABEL, REMOVE

SITTING_MINUTES = 30


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


def sittings(dataset: Dataset) -> pd.DataFrame:
    """Who gave how many verdicts when, latest first: a row for verdicts that one reviewer gave
    without a break of SITTING_MINUTES.

    Columns: reviewer, first, last (ISO 8601), verdicts, wrong (to relabel or remove), standing (how
    many are not undone), from_batch, to_batch.
    """
    log = verdicts.read(dataset.view().frame)
    said = np.flatnonzero(log.verdict < verdicts.UNDO)
    said = said[np.argsort(log.reviewer[said], kind="stable")]
    times = pd.to_datetime(log.time[said]).to_numpy()
    breaks = np.diff(times) > np.timedelta64(SITTING_MINUTES, "m")
    begins = np.concatenate([[True], breaks | (np.diff(log.reviewer[said]) != 0)])[: len(said)]
    table = pd.DataFrame(
        {
            "sitting": np.cumsum(begins),
            "reviewer": np.array([*log.reviewers, None], object)[log.reviewer[said]],
            "time": log.time[said],
            "batch": log.batch[said],
            "wrong": np.isin(log.verdict[said], (RELABEL, REMOVE)),
            "standing": log.standing[said],
        }
    )
    rows = table.groupby("sitting").agg(
        reviewer=("reviewer", "first"), first=("time", "first"), last=("time", "last"),
        verdicts=("batch", "size"), wrong=("wrong", "sum"), standing=("standing", "sum"),
        from_batch=("batch", "min"), to_batch=("batch", "max"),
    )  # fmt: skip
    return rows.sort_values("last", ascending=False).reset_index(drop=True)


def take_back_sitting(dataset: Dataset, reviewer: str, first: int, last: int, who: str) -> int:
    """Undo this reviewer's batches from `first` to `last` that stand. Returns how many verdicts."""
    frame = dataset.view().frame
    with frame.store.writing():
        log = verdicts.read(frame)
        rows = log.standing & (log.reviewer == log.code(reviewer))
        rows &= (log.batch >= first) & (log.batch <= last)
        if rows.any():
            verdicts.append_events(frame, who, verdicts.UNDO, np.unique(log.batch[rows]))
    return int(rows.sum())


def verdict_counts(dataset: Dataset) -> pd.DataFrame:
    """One row a reviewer: reviewer, keep, relabel, remove, unsure, first and last (ISO 8601)."""
    log = verdicts.read(dataset.view().frame)
    rows = log.current
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
