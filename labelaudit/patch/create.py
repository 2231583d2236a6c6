"""Create a patch: of what changed since a dataset was loaded, or of what its verdicts ask for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError, NotFoundError
from ..core.progress import QUIET, Task
from ..dataset import history_log, verdict_log
from ..dataset.arrays import MISSING, find, tag_masks
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.noise import labels_before_noise
from ..dataset.target import Target, as_dataset
from ..export.provenance import PATCH, provenance
from ..features.fingerprints import make_fingerprints, pixel_hashes
from ..review.opinions import OUT
from ..review.queue import opinions
from ..storage.schema import CHANGES, MISTAKE, REMOVED
from .patch_file import KEEP, RELABEL, REMOVE, Change, Patch
from .sample_paths import pixel_hash_text, relative_paths

APPLIED, VERDICTS = SOURCES = ("applied", "verdicts")
NONE = -3  # code for "does not apply", which is neither a class nor "no label"


def write_patch(
    dataset: Target,
    path: str | os.PathLike,
    *,
    source: str = APPLIED,
    reviewer: str | None = None,
    task: Task = QUIET,
) -> Patch:
    """Write the patch of `make_patch` to a file, by convention `….labels.jsonl`. Returns the patch.

    The file is written atomically. Raises as `make_patch`; no file is written then.
    """
    dataset = as_dataset(dataset, "write_patch")
    patch = make_patch(dataset, source=source, reviewer=reviewer, task=task)
    patch.write(path)
    return patch


def make_patch(
    dataset: Dataset,
    *,
    source: str = APPLIED,
    reviewer: str | None = None,
    task: Task = QUIET,
) -> Patch:
    """Return the label changes of a dataset as a patch for any other copy of it.

    source: "applied" for what differs from the dataset as loaded; "verdicts" for what reviewers
    agree on, applied or not, including the samples they kept, so that a merge shows who disagrees.
    reviewer: only the decisions of this person. Planted mistakes are not changes. The images of the
    samples are read once for a hash of their pixels; unreadable ones are identified by path only.
    Raises BadInputError for an unknown source or reviewer, and StoppedError if the task is
    stopped.
    """
    if source not in SOURCES:
        raise BadInputError(f"{source!r} is not a source: give {' or '.join(SOURCES)}.")
    frame = dataset.view().frame
    with frame.steady():
        log, history = verdict_log.read(frame), _History.read(frame)
        origin = provenance(dataset.view(), PATCH)
        people = {*log.reviewers, *history.people}
        if reviewer is not None and reviewer not in people:
            raise NotFoundError(
                f"{reviewer!r} decided nothing in dataset {dataset.name!r}: decisions are by "
                f"{', '.join(sorted(people)) or 'nobody yet'}."
            )
        if source == APPLIED:
            decisions = _applied(frame, history, log)
        else:
            decisions = _from_verdicts(frame, history, log, reviewer)
    if reviewer is not None:
        decisions = [decision for decision in decisions if reviewer in decision.by]
    changes = _to_changes(dataset, history, decisions, task)
    return Patch(changes, dataset.name, dataset.classes, history_log.now(), origin=origin)


@dataclass(frozen=True)
class _Decision:
    """What was decided about the sample at a position of the frame."""

    position: int
    target: int  # class index or OUT
    by: set[str]
    time: str


def _to_changes(
    dataset: Dataset, history: _History, decisions: list[_Decision], task: Task
) -> list[Change]:
    """Return sorted changes with path, pixel hash and id of each sample."""
    frame = dataset.view().frame
    positions = np.array([decision.position for decision in decisions], np.int64)
    ids = frame.ids[positions]
    make_fingerprints(frame, task, ids)
    hashed, pixels = pixel_hashes(frame)
    at, is_hashed = find(hashed, ids)
    names = [*dataset.classes, None]
    paths = relative_paths(frame, positions) if len(ids) else []
    changes = []
    for i, decision in enumerate(decisions):
        before = names[history.loaded[decision.position]]
        after = None if decision.target == OUT else names[decision.target]
        kind = REMOVE if decision.target == OUT else KEEP if before == after else RELABEL
        changes.append(
            Change(
                file=paths[i],
                pixels=pixel_hash_text(pixels[at[i]]) if is_hashed[i] else None,
                id=int(ids[i]),
                before=before,
                change=kind,
                after=after,
                by=tuple(sorted(decision.by)),
                at=decision.time,
            )
        )
    return sorted(changes, key=Change.order)


@dataclass(frozen=True)
class _History:
    """What the history says about each sample. Arrays (n,) are aligned to the frame's ids."""

    loaded: np.ndarray  # class as loaded
    wanted: np.ndarray  # current class, without planted mistakes
    planted: np.ndarray  # class of a planted mistake; NONE for other samples
    changed: np.ndarray  # id of the last change that was not about planted mistakes; 0 for none
    entries: dict[int, history_log.Entry]

    @property
    def people(self) -> set[str]:
        return {name for entry in self.entries.values() for name in _people(entry)}

    @classmethod
    def read(cls, frame: Frame) -> _History:
        entries = {entry.id: entry for entry in history_log.entries(frame)}
        rows = frame.read("changes", CHANGES.names)
        rows = CHANGES.empty_table() if rows is None else rows.sort_by("change").combine_chunks()
        change = rows["change"].to_numpy()
        at, is_known = find(frame.ids, rows["sample"].to_numpy())
        valid = is_known & np.isin(change, list(entries))  # without changes that were interrupted
        before = rows["label_before"].fill_null(MISSING).to_numpy()
        after = rows["label_after"].fill_null(MISSING).to_numpy()
        added = tag_masks(rows["added"].combine_chunks())
        removed = tag_masks(rows["removed"].combine_chunks())
        none = np.zeros(len(rows), bool)
        noise = np.isin(change, _ids_of_kind(entries, history_log.NOISE))
        restore = np.isin(change, _ids_of_kind(entries, history_log.RESTORE))

        loaded = np.where(frame.original_label == MISSING, frame.label, frame.original_label)
        first = valid.nonzero()[0][::-1]  # numpy keeps the last write, so the earliest change
        oldest = np.full(len(loaded), NONE)
        oldest[at[first]] = before[first]
        is_unset = (frame.original_label == MISSING) & (oldest != NONE)
        loaded = np.where(is_unset, oldest, loaded)

        planted = np.full(len(loaded), NONE)
        planting = valid & (noise | added.get(MISTAKE, none))
        planted[at[planting]] = after[planting]
        planted[~frame.tagged(MISTAKE)] = NONE
        wanted = np.where(frame.label == planted, labels_before_noise(frame), frame.label)

        counts = valid & ~noise & ~restore
        counts &= (before != after) | added.get(REMOVED, none) | removed.get(REMOVED, none)
        changed = np.zeros(len(loaded), np.int64)
        changed[at[counts]] = change[counts]
        return cls(loaded, wanted, planted, changed, entries)


def _ids_of_kind(entries: dict[int, history_log.Entry], kind: str) -> list[int]:
    return [number for number, entry in entries.items() if entry.kind == kind]


def _applied(frame: Frame, history: _History, log: verdict_log.VerdictLog) -> list[_Decision]:
    """Return the samples that differ from what was loaded, and not only by planted mistakes."""
    is_removed = frame.tagged(REMOVED)
    differs = (history.changed > 0) & ((history.wanted != history.loaded) | is_removed)
    reviewers = _reviewers(log, opinions(log))
    decisions = []
    for position in differs.nonzero()[0].tolist():
        entry = history.entries[int(history.changed[position])]
        target = OUT if is_removed[position] else int(history.wanted[position])
        by: set[str] = set()
        if entry.kind == history_log.VERDICTS:
            by = reviewers.get((int(frame.ids[position]), target), set())
        decisions.append(_Decision(position, target, by or _people(entry), entry.time))
    return decisions


def _from_verdicts(
    frame: Frame, history: _History, log: verdict_log.VerdictLog, reviewer: str | None
) -> list[_Decision]:
    """Return what all reviewers who are sure agree on, except that a planted mistake is right."""
    opinion = opinions(log, None if reviewer is None else [reviewer])
    at, is_known = find(frame.ids, opinion.samples)
    chosen = is_known & opinion.agreed
    chosen[is_known] &= opinion.target[is_known] != history.planted[at[is_known]]
    reviewers = _reviewers(log, opinion)
    times = np.full(len(opinion.samples), "", object)
    times[opinion.at] = log.time[opinion.rows]  # in the order of the log, so the last time stays
    decisions = []
    for i in chosen.nonzero()[0].tolist():
        target = int(opinion.target[i])
        by = reviewers[int(opinion.samples[i]), target]
        decisions.append(_Decision(int(at[i]), target, by, times[i]))
    return decisions


def _reviewers(log: verdict_log.VerdictLog, opinion) -> dict[tuple[int, int], set[str]]:
    """Return, by sample id and class (or OUT), the reviewers whose current verdict says so."""
    reviewers: dict[tuple[int, int], set[str]] = {}
    for row, index in zip(opinion.rows.tolist(), opinion.at.tolist(), strict=True):
        verdict = log.verdict[row]
        target = log.given[row] if verdict == verdict_log.KEEP else log.label[row]
        target = OUT if verdict == verdict_log.REMOVE else int(target)
        key = int(opinion.samples[index]), target
        reviewers.setdefault(key, set()).add(log.reviewers[log.reviewer[row]])
    return reviewers


def _people(entry: history_log.Entry) -> set[str]:
    """Return who decided a change: for a patch, the people named in it."""
    return set(entry.info["by"]) if entry.kind == history_log.PATCH else {entry.who}
