"""From a dataset to its patch: what was changed since it was loaded, or what verdicts ask for."""

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
from ..features.fingerprints import make_fingerprints, pixel_hashes
from ..review.opinions import OUT, opinions
from ..storage.schema import CHANGES, MISTAKE, REMOVED
from .lines import KEEP, RELABEL, REMOVE, Change, Patch
from .places import as_text, files_of

APPLIED, VERDICTS = SOURCES = ("applied", "verdicts")
NOTHING = -3  # no class, and not "no label" either


def write_patch(
    dataset: Dataset,
    path: str | os.PathLike,
    *,
    source: str = APPLIED,
    reviewer: str | None = None,
    task: Task = QUIET,
) -> Patch:
    """Write what `make_patch` gives to a file, by convention `….labels.jsonl`. Returns the patch.

    The file appears whole or not at all: also where a stop raises StoppedError.
    """
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
    """The label changes of a dataset, for any other copy of it.

    source: "applied", what differs from the dataset as it was loaded; or "verdicts", what reviewers
    agree on, whether it is applied or not, with the samples that they looked at and kept: so that a
    merge shows where somebody else disagrees. reviewer: only what this one decided. Planted
    mistakes are no changes. The images named are read once, for a hash of their pixels; those that
    cannot be read are found by their path only.
    """
    if source not in SOURCES:
        raise BadInputError(f"{source!r} is no source: choose {' or '.join(SOURCES)}.")
    frame = dataset.view().frame
    with frame.steady():
        log, past = verdict_log.read(frame), _Past.read(frame)
        if reviewer is not None and reviewer not in {*log.reviewers, *past.people}:
            known = ", ".join(sorted({*log.reviewers, *past.people})) or "nobody yet"
            raise NotFoundError(
                f"{reviewer!r} decided nothing in dataset {dataset.name!r}: those who did are "
                f"{known}."
            )
        rows = (
            _applied(frame, past, log) if source == APPLIED else _said(frame, past, log, reviewer)
        )
    if reviewer is not None:
        rows = [row for row in rows if reviewer in row[2]]
    positions = np.array([row[0] for row in rows], np.int64)
    ids = frame.ids[positions]
    make_fingerprints(frame, task, ids)
    hashed, pixels = pixel_hashes(frame)
    at, known = find(hashed, ids)
    names = [*dataset.classes, None]
    files = files_of(frame, positions) if len(ids) else []
    changes = []
    for i, (position, target, by, when) in enumerate(rows):
        before = names[past.loaded[position]]
        after = None if target == OUT else names[target]
        word = REMOVE if target == OUT else KEEP if before == after else RELABEL
        changes.append(
            Change(files[i], as_text(pixels[at[i]]) if known[i] else None, int(ids[i]), before,
                   word, after, tuple(sorted(by)), when)
        )  # fmt: skip
    changes.sort(key=Change.order)
    return Patch(changes, dataset.name, dataset.classes, history_log.now())


Row = tuple[int, int, set[str], str]  # position, class or OUT, by whom, when


@dataclass(frozen=True)
class _Past:
    """What the history tells of each sample. Arrays (n,) are aligned to the frame's ids."""

    loaded: np.ndarray  # class as it was loaded
    wanted: np.ndarray  # class now, but for planted mistakes
    planted: np.ndarray  # class of a mistake that was planted; NOTHING where there is none
    changed: np.ndarray  # number of the last change that was not planting; 0 for none
    lines: dict[int, history_log.Entry]

    @property
    def people(self) -> set[str]:
        return {name for line in self.lines.values() for name in _people(line)}

    @classmethod
    def read(cls, frame: Frame) -> _Past:
        lines = {line.id: line for line in history_log.entries(frame)}
        rows = frame.read("changes", CHANGES.names)
        rows = CHANGES.empty_table() if rows is None else rows.sort_by("change").combine_chunks()
        change = rows["change"].to_numpy()
        at, known = find(frame.ids, rows["sample"].to_numpy())
        there = known & np.isin(change, list(lines))  # not of a change that was cut short
        before, after = (rows[name].fill_null(MISSING).to_numpy()
                         for name in ("label_before", "label_after"))  # fmt: skip
        added, taken = (tag_masks(rows[name].combine_chunks()) for name in ("added", "removed"))
        none = np.zeros(len(rows), bool)
        kinds = {number: line.kind for number, line in lines.items()}
        noise = np.isin(change, [n for n, kind in kinds.items() if kind == history_log.NOISE])
        unplanting = np.isin(
            change, [n for n, kind in kinds.items() if kind == history_log.RESTORE]
        )

        loaded = np.where(frame.original_label == MISSING, frame.label, frame.original_label)
        first = there.nonzero()[0][::-1]  # of a repeated place numpy keeps the last that is written
        begun = np.full(len(loaded), NOTHING)
        begun[at[first]] = before[first]
        untold = (frame.original_label == MISSING) & (begun != NOTHING)
        loaded = np.where(untold, begun, loaded)

        planted = np.full(len(loaded), NOTHING)
        planting = there & (noise | added.get(MISTAKE, none))
        planted[at[planting]] = after[planting]
        planted[~frame.tagged(MISTAKE)] = NOTHING
        wanted = np.where(frame.label == planted, labels_before_noise(frame), frame.label)

        counts = there & ~noise & ~unplanting
        counts &= (before != after) | added.get(REMOVED, none) | taken.get(REMOVED, none)
        changed = np.zeros(len(loaded), np.int64)
        changed[at[counts]] = change[counts]
        return cls(loaded, wanted, planted, changed, lines)


def _applied(frame: Frame, past: _Past, log: verdict_log.VerdictLog) -> list[Row]:
    """Samples that differ from what was loaded, and are not only planted mistakes."""
    gone = frame.tagged(REMOVED)
    differs = (past.changed > 0) & ((past.wanted != past.loaded) | gone)
    said = opinions(log)
    reviewers = _who_said(log, said)
    rows = []
    for position in differs.nonzero()[0].tolist():
        line = past.lines[int(past.changed[position])]
        target = OUT if gone[position] else int(past.wanted[position])
        by = reviewers.get((int(frame.ids[position]), target), ()) if (
            line.kind == history_log.VERDICTS) else ()  # fmt: skip
        rows.append((position, target, set(by) or _people(line), line.time))
    return rows


def _said(
    frame: Frame, past: _Past, log: verdict_log.VerdictLog, reviewer: str | None
) -> list[Row]:
    """What those who are sure of a sample agree on; not that a planted mistake is right."""
    said = opinions(log, None if reviewer is None else [reviewer])
    at, known = find(frame.ids, said.samples)
    fits = known & said.agreed
    fits[known] &= said.target[known] != past.planted[at[known]]
    reviewers = _who_said(log, said)
    times = np.full(len(said.samples), "", object)
    times[said.at] = log.time[said.rows]  # rows are in the order of the log: the last one stays
    rows = []
    for i in fits.nonzero()[0].tolist():
        target = int(said.target[i])
        rows.append((int(at[i]), target, reviewers[int(said.samples[i]), target], times[i]))
    return rows


def _who_said(log: verdict_log.VerdictLog, said) -> dict[tuple[int, int], set[str]]:
    """By sample and class (or OUT): the reviewers who say so, of the verdicts that count."""
    found: dict[tuple[int, int], set[str]] = {}
    for row, place in zip(said.rows.tolist(), said.at.tolist(), strict=True):
        verdict = log.verdict[row]
        target = log.given[row] if verdict == verdict_log.KEEP else log.label[row]
        key = int(said.samples[place]), OUT if verdict == verdict_log.REMOVE else int(target)
        found.setdefault(key, set()).add(log.reviewers[log.reviewer[row]])
    return found


def _people(line: history_log.Entry) -> set[str]:
    """Who stands behind a change: of a patch those who are named in it."""
    return set(line.info["by"]) if line.kind == history_log.PATCH else {line.who}
