"""Applies verdicts to labels: lists what would change, and changes it when a person agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import BadInputError
from ..dataset import edits, history_log, verdict_log
from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Cause
from ..dataset.target import Target, as_dataset
from ..dataset.verdict_log import KEEP, RELABEL, REMOVE
from ..storage.schema import REMOVED
from .opinions import OUT, UNANIMOUS, opinions

SITTING_MINUTES = 30  # a longer break between two verdicts begins a new sitting


@dataclass(frozen=True)
class Decisions:
    """The changes that verdicts ask for and that are not applied yet.

    Arrays (n,) are sorted ids, int64, except for `before` and `after`.
    """

    relabel: np.ndarray
    before: np.ndarray  # int32, the current class indices of `relabel`
    after: np.ndarray  # int32, the class indices they would get
    remove: np.ndarray
    put_back: np.ndarray  # removed by an earlier verdict that no longer stands
    disagreed: np.ndarray  # unchanged, because the rule does not decide between reviewers
    outdated: np.ndarray  # unchanged, because the label was changed after all verdicts on it
    done: int  # samples that verdicts asked to change and that already are as decided

    def __len__(self) -> int:
        """Return how many samples would change."""
        return len(self.ids)

    @property
    def ids(self) -> np.ndarray:
        """The samples that would change, int64 (n,), sorted."""
        return np.unique(np.concatenate([self.relabel, self.remove, self.put_back]))

    def equals(self, other: Decisions) -> bool:
        """Whether both make the same changes to the same samples."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("relabel", "before", "after", "remove", "put_back")
        )


def pending_decisions(
    dataset: Target, reviewers: Sequence[str] | None = None, rule: str = UNANIMOUS
) -> Decisions:
    """Return the changes that the verdicts of these reviewers (None: all) ask for.

    rule: a sample is changed if all reviewers with a verdict on it say the same ("unanimous"), if
    more than half of them do ("majority"), or as the latest verdict says ("latest"). "unsure" does
    not count. Raises BadInputError for another rule.
    """
    dataset = as_dataset(dataset, "pending_decisions")
    frame = dataset.view().frame
    with frame.steady():
        return _decisions(frame, verdict_log.read(frame), reviewers, rule)


def _decisions(
    frame: Frame, log: verdict_log.VerdictLog, reviewers: Sequence[str] | None, rule: str
) -> Decisions:
    said = opinions(log, reviewers, rule)
    at, known = find(frame.ids, said.samples)
    agreed, target = known & said.agreed, said.target
    now = frame.label[at] if len(frame.ids) else np.zeros(len(at), np.int32)
    is_removed = frame.tagged(REMOVED)[at]

    def any_verdict(rows: np.ndarray) -> np.ndarray:
        """Return a mask of the samples with at least one verdict that meets the condition."""
        return np.bincount(said.at[rows], minlength=len(said.samples)) > 0

    deciding = said.said == target[said.at]
    fresh = any_verdict(deciding & (log.given[said.rows] == now[said.at]))  # on the current label
    asks = any_verdict(log.verdict[said.rows] != KEEP)
    once_removed = np.isin(said.samples, log.sample[log.verdict == REMOVE])
    out = agreed & (target == OUT)
    stays = agreed & ~out
    relabel = stays & (target != now)
    return Decisions(
        relabel=said.samples[relabel & fresh],
        before=now[relabel & fresh],
        after=target[relabel & fresh].astype(np.int32),
        remove=said.samples[out & ~is_removed],
        put_back=said.samples[stays & is_removed & once_removed],
        disagreed=said.samples[known & ~said.agreed],
        outdated=said.samples[relabel & ~fresh],
        done=int((asks & ((stays & ~relabel) | (out & is_removed))).sum()),
    )


def class_pair_counts(
    dataset: Dataset, wanted: Decisions, new_classes: Sequence[str] = ()
) -> pd.DataFrame:
    """Count the labels that would change by class pair, most frequent first.

    Columns: ground_truth, becomes, count. new_classes: classes that are still to be added to those
    of the dataset.
    """
    names = np.array([*dataset.classes, *new_classes, None], object)
    pairs, counts = np.unique(np.stack([wanted.before, wanted.after]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    before, after = pairs[:, order]
    return pd.DataFrame(
        {"ground_truth": names[before], "becomes": names[after], "count": counts[order]}
    )


def apply_verdicts(
    dataset: Target,
    reviewers: Sequence[str] | None = None,
    who: str | None = None,
    shown: Decisions | None = None,
    rule: str = UNANIMOUS,
) -> Decisions:
    """Make the changes that `pending_decisions` lists, in one commit, and return them.

    Samples get their new label, or the tag `removed`. `labelaudit.return_to` undoes it.
    who: the author in the history, by default the user of this machine. shown: the changes that a
    person agreed to. rule: see `pending_decisions`.
    Raises BadInputError, and changes nothing, if the changes differ from `shown` by now, and for an
    unknown rule.
    """
    dataset = as_dataset(dataset, "apply_verdicts")
    frame = dataset.view().frame
    with frame.transaction():
        wanted = _decisions(frame, verdict_log.read(frame), reviewers, rule)
        if shown is not None and not wanted.equals(shown):
            raise BadInputError(
                "verdicts or labels changed since you looked: check the changes again, then apply "
                "them."
            )
        ids = wanted.ids
        labels = frame.label[frame.positions(ids)].copy()
        labels[np.searchsorted(ids, wanted.relabel)] = wanted.after
        removed, put_back = np.isin(ids, wanted.remove), np.isin(ids, wanted.put_back)

        def edit(rows: edits.EditedRows) -> None:
            rows.set_label(labels)
            tagged = rows.tags.get(REMOVED, np.zeros(len(ids), bool))
            rows.set_tag(REMOVED, (tagged | removed) & ~put_back)

        info = {
            "relabelled": len(wanted.relabel),
            "removed": len(wanted.remove),
            "put_back": len(wanted.put_back),
            "rule": rule,
        }
        edits.change(frame, ids, edit, Cause(history_log.VERDICTS, who, info))
    return wanted


def sittings(dataset: Dataset) -> pd.DataFrame:
    """List who gave verdicts when, latest first.

    A row stands for the verdicts of one reviewer without a break of SITTING_MINUTES. Columns:
    reviewer, first, last (ISO 8601), verdicts, wrong (to relabel or remove), standing (verdicts
    that were not undone), from_batch, to_batch.
    """
    log = verdict_log.read(dataset.view().frame)
    said = np.flatnonzero(log.verdict < verdict_log.UNDO)
    said = said[np.argsort(log.reviewer[said], kind="stable")]
    times = log.time[said].astype("U19").astype("datetime64[s]")
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
        reviewer=("reviewer", "first"),
        first=("time", "first"),
        last=("time", "last"),
        verdicts=("batch", "size"),
        wrong=("wrong", "sum"),
        standing=("standing", "sum"),
        from_batch=("batch", "min"),
        to_batch=("batch", "max"),
    )
    # sorted by batch rather than by time, because a clock may have been set back
    return rows.sort_values("to_batch", ascending=False).reset_index(drop=True)


def take_back_sitting(dataset: Dataset, reviewer: str, first: int, last: int, who: str) -> int:
    """Undo this reviewer's batches from `first` to `last`. Returns how many verdicts."""
    frame = dataset.view().frame
    with frame.transaction():
        log = verdict_log.read(frame)
        rows = log.standing & (log.reviewer == log.code(reviewer))
        rows &= (log.batch >= first) & (log.batch <= last)
        if rows.any():
            verdict_log.append_events(frame, who, verdict_log.UNDO, np.unique(log.batch[rows]))
    return int(rows.sum())


def verdict_counts(dataset: Dataset) -> pd.DataFrame:
    """Count the verdicts of each reviewer.

    Columns: reviewer, keep, relabel, remove, unsure, first, last (ISO 8601).
    """
    log = verdict_log.read(dataset.view().frame)
    rows = log.current
    table = []
    for code, name in enumerate(log.reviewers):
        own = rows[log.reviewer[rows] == code]
        if len(own):
            counts = np.bincount(log.verdict[own], minlength=len(verdict_log.VERDICTS))
            table.append(
                {
                    "reviewer": name,
                    **dict(zip(verdict_log.VERDICTS, counts.tolist(), strict=True)),
                    "first": log.time[own[0]],
                    "last": log.time[own[-1]],
                }
            )
    return pd.DataFrame(table)
